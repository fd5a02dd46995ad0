"""Quantisation: what a low-bit engine keeps as it is, and what it has to convert."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from perfsim.importers.onnx.node import Node
from perfsim.importers.onnx.rules import MICROSOFT, rule
from perfsim.importers.onnx.values import UINT8
from perfsim.ops.general import Pointwise

__all__ = ["dequantize", "dynamic_quantize", "quantize", "runtime_dequantize", "runtime_quantize"]

SCALE_FLOPS = 4
"""Divide, add the zero point, round, clip: per element [FLOP]."""


@rule("QuantizeLinear", low="")
def quantize(node: Node) -> Any:
    """Nothing behind an operator that worked on stored values; else an element-wise conversion."""
    return _quantize(node)


@rule("QuantizeLinear", domain=MICROSOFT)
def runtime_quantize(node: Node) -> Any:
    """The same, for more types."""
    zero = node.optional(2)
    node.types = [(UINT8 if zero is None else zero.elem, node.input(0).shape)]
    return _quantize(node)


def _quantize(node: Node) -> Any:
    x = node.input(0)
    if x.low is not None and x.low.root == x.root and x.root:
        return replace(x.low, name=node.proto.output[0], elem=node.types[0][0])
    flops = SCALE_FLOPS * x.elements
    return node.emit(Pointwise, [x], shapes=(x.shape,), flops=flops, label="quantize")


@rule("DequantizeLinear", low="")
def dequantize(node: Node) -> Any:
    """Nothing yet: a reader that works on the stored values needs no conversion, another one asks for it."""
    x = node.input(0)
    return replace(x, elem=node.types[0][0], low=x, load=None)


@rule("DequantizeLinear", domain=MICROSOFT)
def runtime_dequantize(node: Node) -> Any:
    """The same, for more types."""
    node.types = [(node.input(1).elem, node.input(0).shape)]
    return dequantize(node)


@rule("DynamicQuantizeLinear", low="")
def dynamic_quantize(node: Node) -> Any:
    """Extremes of the features, then the conversion."""
    x = node.input(0)
    return node.emit_all(Pointwise, [x], flops=(2 + SCALE_FLOPS) * x.elements, label="quantize")
