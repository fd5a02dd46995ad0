"""ONNX files: any inference graph becomes an operator graph, without its weights."""

from perfsim.importers.onnx.model import OnnxModel, read_onnx

__all__ = ["OnnxModel", "read_onnx"]
