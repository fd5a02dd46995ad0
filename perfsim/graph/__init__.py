"""Tensors, operators and the immutable graph of both, with checked edits."""

from perfsim.graph.builder import GraphBuilder
from perfsim.graph.check import check
from perfsim.graph.graph import OperatorGraph
from perfsim.graph.operator import Gradient, MatrixShape, Operator, Shape, Tensors, Unit, Work
from perfsim.graph.same import same
from perfsim.graph.tensor import Placement, Role, Tensor
from perfsim.graph.tiled import TiledKernel

__all__ = [
    "Gradient",
    "GraphBuilder",
    "MatrixShape",
    "Operator",
    "OperatorGraph",
    "Placement",
    "Role",
    "Shape",
    "Tensor",
    "Tensors",
    "TiledKernel",
    "Unit",
    "Work",
    "check",
    "same",
]
