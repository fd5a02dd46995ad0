"""Element-wise operators: arithmetic, comparisons, activations."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from perfsim.importers.onnx.node import Node
from perfsim.importers.onnx.rules import MICROSOFT, rule
from perfsim.ops import Elementwise
from perfsim.ops.elementwise import FUNCTIONS
from perfsim.ops.general import Pointwise

__all__ = ["gelu", "own", "pointwise", "quantized", "rotary", "scaler", "shared", "standard_rotary"]

_SHARED: Mapping[str, str] = MappingProxyType(
    {
        "Add": "add", "Mul": "multiply", "Relu": "relu", "Sigmoid": "sigmoid", "HardSigmoid": "hardsigmoid",
        "HardSwish": "hardswish", "Gelu": "gelu", "Swish": "silu", "Cast": "copy", "CastLike": "copy",
    }
)  # fmt: skip
"""Operators whose work per element is that of a function of :data:`perfsim.ops.elementwise.FUNCTIONS`."""

_OWN: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        **{name: (name.lower(), 1) for name in (
            "Sub", "Div", "Pow", "Mod", "Neg", "Abs", "Exp", "Log", "Sqrt", "Reciprocal", "Sin", "Cos", "Tan", "Asin",
            "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Tanh", "Erf", "Floor", "Ceil", "Round", "Sign",
            "Min", "Max", "Sum", "And", "Or", "Xor", "Not", "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual",
            "IsNaN", "IsInf", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "BitShift", "Where",
            "ThresholdedRelu",
        )},
        "Clip": ("clip", 2),
        "LeakyRelu": ("leaky-relu", 2),
        "PRelu": ("prelu", 2),
        "Elu": ("elu", 3),
        "Celu": ("celu", 4),
        "Selu": ("selu", 4),
        "Shrink": ("shrink", 3),
        "Softplus": ("softplus", 3),
        "Softsign": ("softsign", 3),
        "Mish": ("mish", 5),
        "Mean": ("mean", 2),
        "Binarizer": ("binarizer", 1),
        "Scaler": ("scaler", 2),
    }
)  # fmt: skip
"""Operator → label and operations per output element [FLOP]; a transcendental function counts as one."""


def pointwise(node: Node, label: str, each: float) -> Any:
    """``each`` operations per output element; operands may be repeated along some axes."""
    function = _named(node, label)
    operands = node.sources()
    first = next((v for v in operands if v.shape == node.shape()), None)
    if first is not None and function in FUNCTIONS and FUNCTIONS[function] == each:
        rest = [v for v in operands if v is not first]
        return node.emit(Elementwise, [first, *rest], function=function)
    elements = 1
    for size in node.shape():
        elements *= size
    return node.emit(Pointwise, operands, shapes=(node.shape(),), flops=each * elements, label=function)


def _named(node: Node, label: str) -> str:
    """Adding a stored vector is a bias, multiplying by one stored number a scale: rules of fusion differ."""
    constants = [v for v in node.inputs if v is not None and v.const]
    if len(constants) == 1 and label == "add" and constants[0].shape[-1:] == node.shape()[-1:]:
        return "bias" if constants[0].elements == constants[0].shape[-1] > 1 else label
    if len(constants) == 1 and label in ("multiply", "div") and constants[0].elements == 1:
        return "scale"
    return label


@rule(*_SHARED)
def shared(node: Node) -> Any:
    """Functions that the families use, too."""
    if node.op_type in ("Cast", "CastLike") and node.input(0).elem == node.types[0][0]:
        return node.alias(node.input(0))
    function = _SHARED[node.op_type]
    return pointwise(node, function, FUNCTIONS[function])


@rule(*_OWN)
def own(node: Node) -> Any:
    """Functions that only imported graphs use."""
    if len(node.operands()) < 2 and node.op_type in ("Min", "Max", "Sum", "Mean") and len(node.inputs) < 2:
        return node.alias(node.input(0))
    label, each = _OWN[node.op_type]
    return pointwise(node, label, each)


@rule("Scaler", "Binarizer", domain="ai.onnx.ml")
def scaler(node: Node) -> Any:
    """Offset and factor, or a threshold, per feature."""
    return own(node)


@rule("Gelu", "FastGelu", "BiasGelu", "QuickGelu", "BiasSplitGelu", domain=MICROSOFT)
def gelu(node: Node) -> Any:
    """GELU, maybe behind a bias; the split form multiplies one half by the GELU of the other."""
    x = node.input(0)
    halves = 2 if node.op_type == "BiasSplitGelu" else 1
    node.types = [(x.elem, (*x.shape[:-1], x.shape[-1] // halves))]
    each = FUNCTIONS["silu"] + 1 if node.op_type == "QuickGelu" else FUNCTIONS["gelu"]
    extra = 1 if len(node.inputs) > 1 and node.inputs[1] is not None else 0
    return pointwise(node, "gelu", each + extra + halves - 1)


@rule("RotaryEmbedding", domain=MICROSOFT)
def rotary(node: Node) -> Any:
    """Rotation of queries or keys by position."""
    node.types = [(node.input(0).elem, node.input(0).shape)]
    return _rotary(node)


@rule("RotaryEmbedding", low="")
def standard_rotary(node: Node) -> Any:
    """The same operator of ONNX, since operator set 23."""
    return _rotary(node)


def _rotary(node: Node) -> Any:
    x = node.input(0)
    tables = [0 if v is None else min(v.elements, x.elements) for v in node.inputs[1:]]
    flops = FUNCTIONS["rotary"] * x.elements
    operands = [v for v in node.inputs if v is not None]
    return node.emit(Pointwise, operands, shapes=(x.shape,), flops=flops, label="rotary", touched=(None, *tables))


@rule("QLinearAdd", "QLinearMul", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearWhere", domain=MICROSOFT)
def quantized(node: Node) -> Any:
    """8-bit element-wise work; scales and zero points are single constants."""
    tensors = [v for v in node.inputs if v is not None and v.elements > 1]
    largest = max(tensors, key=lambda v: len(v.shape), default=node.input(0))
    shape = [1] * len(largest.shape)
    for value in tensors or [largest]:
        for axis, size in enumerate(reversed(value.shape), 1):
            shape[-axis] = max(shape[-axis], size)
    node.types = [(node.input(0).elem, tuple(shape))]
    names = {"QLinearAdd": ("add", 1), "QLinearMul": ("multiply", 1), "QLinearSigmoid": ("sigmoid", 4)}
    return pointwise(node, *names.get(node.op_type, (node.op_type.lower(), 2)))
