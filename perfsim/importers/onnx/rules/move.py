"""Bytes that change their place, and views, which do not."""

from __future__ import annotations

import math
from typing import Any

from perfsim.importers.onnx.node import Node
from perfsim.importers.onnx.rules import MICROSOFT, rule
from perfsim.ops.general import Move

__all__ = ["concat", "fill", "part", "quantized_concat", "rearrange", "scatter", "view"]


@rule("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Dropout", "Optional", "OptionalGetElement", low="move")
def view(node: Node) -> Any:
    """Another shape of the same bytes: no work, no traffic, no kernel."""
    if node.op_type == "Dropout" and node.optional(2) is not None and node.input(2).array not in (None, False):
        raise node.fail("drops features as in training; export the model for inference")
    if node.input(0).elements != math.prod(node.shape()):
        raise node.fail(f"turns {list(node.input(0).shape)} into {list(node.shape())}, which has other elements")
    return node.alias(node.input(0))


@rule("Transpose", "SpaceToDepth", "DepthToSpace", "ReverseSequence", "Trilu", "EyeLike", "Col2Im", low="move")
def rearrange(node: Node) -> Any:
    """Every element read and written once; a transposition that only moves axes of size 1 is a view."""
    x = node.input(0)
    if node.op_type == "Transpose":
        order = node.attribute("perm", tuple(reversed(range(len(x.shape)))))
        moved = [axis for axis in order if x.shape[axis] != 1]
        if moved == sorted(moved):
            return node.alias(x)
    return node.emit(Move, [x], shapes=(node.shape(),), label=node.op_type.lower())


@rule("Slice", "Gather", "GatherElements", "GatherND", "Split", "Tile", "Expand", "Pad", "CenterCropPad", low="move")
def part(node: Node) -> Any:
    """What is written, and of the source what is needed for it; pieces of one split are one kernel."""
    x = node.input(0)
    if node.op_type in ("Slice", "Expand", "Tile", "Pad") and node.shape() == x.shape:
        return node.alias(x)
    written = sum(math.prod(shape) for shape in (node.types[i][1] for i, name in enumerate(node.proto.output) if name))
    index = node.operands([node.optional(1)]) if node.op_type.startswith("Gather") else []
    label = "embedding" if node.op_type == "Gather" and x.const else node.op_type.lower()
    return node.emit_all(Move, [x, *index], label=label, touched=(min(x.elements, written),))


@rule("Concat", low="pointwise")
def concat(node: Node) -> Any:
    """All parts are read and written."""
    parts = [v for v in node.inputs if v is not None and v.elements]
    if len(parts) == 1:
        return node.alias(parts[0])
    return node.emit(Move, parts or node.sources(), shapes=(node.shape(),), label="concat")


@rule("QLinearConcat", domain=MICROSOFT)
def quantized_concat(node: Node) -> Any:
    """Inputs are output scale and zero point, then tensor, scale and zero point of each part."""
    parts = [v for v in node.inputs[2::3] if v is not None]
    if not parts:
        raise node.fail("joins nothing")
    axis = int(node.attribute("axis", 0)) % max(len(parts[0].shape), 1)
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    node.types = [(parts[0].elem, tuple(shape))]
    return node.emit(Move, parts, shapes=(tuple(shape),), label="concat")


@rule("ScatterElements", "ScatterND", "Scatter", "TensorScatter", low="")
def scatter(node: Node) -> Any:
    """A copy of the target with some elements replaced."""
    return node.emit(Move, node.sources(), shapes=(node.shape(),), label="scatter")


@rule(
    "OneHot",
    "Range",
    "ConstantOfShape",
    "RandomNormalLike",
    "RandomUniformLike",
    "RandomNormal",
    "RandomUniform",
    low="",
)
def fill(node: Node) -> Any:
    """Numbers that come from nothing."""
    operands = node.operands() if node.op_type == "OneHot" else []
    return node.emit(Move, operands, shapes=(node.shape(),), label="fill")
