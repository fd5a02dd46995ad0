"""Values that are known before a graph runs: shapes, and what is computed from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

__all__ = ["MOST", "evaluate"]

MOST = 1 << 16
"""Largest array that is computed with [1]; what describes a shape is far smaller."""

Attributes = Mapping[str, Any]
Evaluator = Callable[[Sequence[Any], Attributes], Any]


def evaluate(op_type: str, inputs: Sequence[Any], attributes: Attributes, shapes: Sequence[Sequence[int]]) -> Any:
    """Outputs of a node as arrays, or None where they are not computed.

    inputs: arrays, None for one that is left out; shapes: of the outputs.

    An error inside numpy means that the node is malformed in a way that shape inference did not see; such
    values stay unknown.
    """
    rule = _RULES.get(op_type)
    if rule is None or any(math.prod(shape) > MOST for shape in shapes):
        return None
    try:
        with np.errstate(all="ignore"):
            result = rule(inputs, attributes)
    except (ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError, MemoryError):
        return None
    if result is None or isinstance(result, list):
        return result
    return [np.asarray(result)]


def _axes(inputs: Sequence[Any], attributes: Attributes, default: Any = None) -> Any:
    """Axes from the second input (newer opsets) or the attribute."""
    if len(inputs) > 1 and inputs[1] is not None:
        return tuple(int(axis) for axis in np.atleast_1d(inputs[1]))
    axes = attributes.get("axes", default)
    return None if axes is None else tuple(axes)


def _slice(inputs: Sequence[Any], attributes: Attributes) -> Any:
    data = inputs[0]
    if len(inputs) > 1:
        starts, ends = inputs[1], inputs[2]
        axes = inputs[3] if len(inputs) > 3 and inputs[3] is not None else range(len(starts))
        steps = inputs[4] if len(inputs) > 4 and inputs[4] is not None else [1] * len(starts)
    else:
        starts, ends = attributes["starts"], attributes["ends"]
        axes, steps = attributes.get("axes", range(len(starts))), [1] * len(starts)
    index = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        stop: int | None = int(end)
        if step < 0 and end < -data.shape[axis]:
            stop = None
        index[int(axis)] = slice(int(start), stop, int(step))
    return data[tuple(index)]


def _reduce(function: Callable[..., Any]) -> Evaluator:
    def rule(inputs: Sequence[Any], attributes: Attributes) -> Any:
        axes = _axes(inputs, attributes)
        if axes is None and attributes.get("noop_with_empty_axes", 0):
            return inputs[0]
        return function(inputs[0], axis=axes, keepdims=bool(attributes.get("keepdims", 1))).astype(inputs[0].dtype)

    return rule


def _unsqueeze(inputs: Sequence[Any], attributes: Attributes) -> Any:
    axes = _axes(inputs, attributes)
    rank = inputs[0].ndim + len(axes)
    result = inputs[0]
    for axis in sorted(a % rank for a in axes):
        result = np.expand_dims(result, axis)
    return result


def _reshape(inputs: Sequence[Any], attributes: Attributes) -> Any:
    data, shape = inputs[0], [int(n) for n in inputs[1]]
    if not attributes.get("allowzero", 0):
        shape = [data.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return data.reshape(shape)


def _split(inputs: Sequence[Any], attributes: Attributes) -> Any:
    axis = attributes.get("axis", 0)
    sizes = inputs[1] if len(inputs) > 1 and inputs[1] is not None else attributes.get("split")
    if sizes is None:
        return None
    return np.split(inputs[0], np.cumsum(sizes)[:-1], axis)


def _divide(inputs: Sequence[Any], _: Attributes) -> Any:
    a, b = inputs
    if np.issubdtype(a.dtype, np.integer):  # ONNX rounds towards zero
        return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)
    return a / b


def _constant_of_shape(inputs: Sequence[Any], attributes: Attributes) -> Any:
    value = attributes.get("value")
    fill = np.zeros(1, np.float32) if value is None else value
    return np.full([int(n) for n in inputs[0]], fill.reshape(-1)[0], fill.dtype)


def _cast(inputs: Sequence[Any], attributes: Attributes) -> Any:
    return inputs[0].astype(_FORMATS[attributes["to"]])


_FORMATS = {
    1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8", 12: "u4", 13: "u8",
    16: "f4",
}  # fmt: skip
"""TensorProto.DataType → numpy's name; bf16 is computed with in fp32."""


def _plain(function: Callable[..., Any]) -> Evaluator:
    return lambda inputs, _: function(*(i for i in inputs if i is not None))


def _expand(inputs: Sequence[Any], _: Attributes) -> Any:
    shape = tuple(int(n) for n in inputs[1])
    return np.broadcast_to(inputs[0], np.broadcast_shapes(inputs[0].shape, shape))


def _squeeze(inputs: Sequence[Any], attributes: Attributes) -> Any:
    return np.squeeze(inputs[0], _axes(inputs, attributes))


def _flatten(inputs: Sequence[Any], attributes: Attributes) -> Any:
    axis = attributes.get("axis", 1)
    return inputs[0].reshape(math.prod(inputs[0].shape[:axis]), -1)


def _clip(inputs: Sequence[Any], attributes: Attributes) -> Any:
    low = inputs[1] if len(inputs) > 1 else attributes.get("min")
    high = inputs[2] if len(inputs) > 2 else attributes.get("max")
    return np.clip(inputs[0], low, high)


_BINARY: Mapping[str, Any] = MappingProxyType(
    {
        "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Mod": np.mod, "Pow": np.power, "Equal": np.equal,
        "Greater": np.greater, "Less": np.less, "GreaterOrEqual": np.greater_equal, "LessOrEqual": np.less_equal,
        "And": np.logical_and, "Or": np.logical_or, "Not": np.logical_not, "Neg": np.negative, "Abs": np.abs,
        "Floor": np.floor, "Ceil": np.ceil, "Sqrt": np.sqrt, "Round": np.round, "Sign": np.sign, "Exp": np.exp,
        "Log": np.log, "Where": np.where, "Reciprocal": np.reciprocal, "Identity": np.array, "Range": np.arange,
        "Min": lambda *a: np.minimum.reduce(np.broadcast_arrays(*a)),
        "Max": lambda *a: np.maximum.reduce(np.broadcast_arrays(*a)),
        "Tile": lambda data, repeats: np.tile(data, [int(n) for n in repeats]),
    }
)  # fmt: skip

_RULES: dict[str, Evaluator] = {name: _plain(function) for name, function in _BINARY.items()} | {
    "Div": _divide,
    "Slice": _slice,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Expand": _expand,
    "Split": _split,
    "Cast": _cast,
    "Clip": _clip,
    "ConstantOfShape": _constant_of_shape,
    "Concat": lambda inputs, a: np.concatenate(inputs, a.get("axis", 0)),
    "Gather": lambda inputs, a: np.take(inputs[0], inputs[1], a.get("axis", 0)),
    "GatherND": lambda inputs, a: inputs[0][tuple(np.moveaxis(inputs[1], -1, 0))] if not a.get("batch_dims") else None,
    "Transpose": lambda inputs, a: np.transpose(inputs[0], a.get("perm")),
    "CastLike": lambda inputs, _: inputs[0].astype(inputs[1].dtype),
    "NonZero": lambda inputs, _: np.array(np.nonzero(np.atleast_1d(inputs[0])), np.int64),
    "CumSum": lambda inputs, a: None if any(a.values()) else np.cumsum(inputs[0], int(inputs[1])),
    "Trilu": lambda inputs, a: (np.triu if a.get("upper", 1) else np.tril)(inputs[0], *(int(k) for k in inputs[1:])),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
}
"""Operator → its outputs from arrays."""
