"""Convolutions: dense, grouped, depthwise, transposed, in full numbers or quantised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from perfsim.graph import Role
from perfsim.importers.onnx.node import Node
from perfsim.importers.onnx.rules import MICROSOFT, rule
from perfsim.importers.onnx.values import Value
from perfsim.ops import BatchNorm, Conv, TransposedConv, conv_kind
from perfsim.ops.general import Pointwise

__all__ = [
    "batch_norm", "convolution", "deformable_convolution", "fused_convolution", "quantized_convolution",
    "transposed_convolution",
]  # fmt: skip


@rule("Conv", "ConvInteger", low="matrix")
def convolution(node: Node) -> Any:
    """Features, weight and maybe a bias; the zero points of ConvInteger cost nothing."""
    bias = node.optional(2) if node.op_type == "Conv" else None
    node.low = node.low or node.op_type == "ConvInteger"
    return _conv(node, node.input(0), node.input(1), bias)


@rule("QLinearConv")
def quantized_convolution(node: Node) -> Any:
    """The form with scales and zero points among its inputs."""
    node.low = True
    return _conv(node, node.input(0), node.input(3), node.optional(8))


@rule("FusedConv", domain=MICROSOFT)
def fused_convolution(node: Node) -> Any:
    """A convolution with an activation in its kernel, whose work is not counted, and maybe an addend."""
    x, w = node.input(0), node.input(1)
    strides, dilations, pads = _geometry(node, x, w)
    taps = zip(x.shape[2:], w.shape[2:], strides, dilations, pads, strict=True)
    sizes = tuple((n + p - (d * (k - 1) + 1)) // s + 1 for n, k, s, d, p in taps)
    node.types = [(x.elem, (x.shape[0], w.shape[0], *sizes))]
    return _conv(node, x, w, node.optional(2))


def _geometry(node: Node, x: Value, w: Value) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Strides, dilations and padding of both ends together, per axis."""
    axes = len(w.shape) - 2
    if axes < 1 or len(x.shape) != axes + 2 or 0 in w.shape:
        raise node.fail(f"has features of shape {list(x.shape)} and a weight of shape {list(w.shape)}")
    strides = tuple(node.attribute("strides", (1,) * axes))
    dilations = tuple(node.attribute("dilations", (1,) * axes))
    pads = tuple(node.attribute("pads", (0,) * (2 * axes)))
    if not len(strides) == len(dilations) == axes or len(pads) != 2 * axes or min(*strides, *dilations) < 1:
        stated = f"strides {list(strides)}, dilations {list(dilations)} and pads {list(pads)}"
        raise node.fail(f"has {stated} for {axes} axes")
    return strides, dilations, tuple(pads[i] + pads[i + axes] for i in range(axes))


def _groups(node: Node, channels: int, outputs: int) -> int:
    groups = int(node.attribute("group", 1))
    if groups < 1 or channels % groups or outputs % groups:
        raise node.fail(f"has {groups} groups, which do not divide {channels} inputs and {outputs} outputs")
    return groups


def _operands(x: Value, w: Value, bias: Value | None, weight: Sequence[int]) -> dict[str, Any]:
    extra = [] if bias is None else [bias]
    return {"operands": [x, w, *extra], "seen": [x.shape, tuple(weight), *(b.shape for b in extra)]}


def _conv(node: Node, x: Value, w: Value, bias: Value | None) -> Any:
    strides, dilations, pads = _geometry(node, x, w)
    outputs, inputs, *kernel = w.shape
    groups = _groups(node, x.shape[1], outputs)
    if x.shape[1] != inputs * groups:
        raise node.fail(f"has {x.shape[1]} channels, its weight expects {inputs} in each of {groups} groups")
    if node.attribute("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER"):
        sizes = zip(node.shape()[2:], x.shape[2:], kernel, strides, dilations, strict=True)
        pads = tuple(max((out - 1) * s + d * (k - 1) + 1 - n, 0) for out, n, k, s, d in sizes)
    kind = conv_kind(groups=groups, inputs=x.shape[1], kernel=kernel)
    return node.emit(
        kind, **_operands(x, w, bias, (groups, outputs // groups, inputs, *kernel)), stride=strides, padding=pads,
        dilation=dilations,
    )  # fmt: skip


@rule("ConvTranspose", low="matrix")
def transposed_convolution(node: Node) -> Any:
    """The weight is (inputs, outputs per group, *kernel)."""
    x, w = node.input(0), node.input(1)
    strides, dilations, pads = _geometry(node, x, w)
    inputs, outputs, *kernel = w.shape
    groups = _groups(node, inputs, outputs * int(node.attribute("group", 1)))
    axes = zip(node.shape()[2:], x.shape[2:], kernel, strides, dilations, pads, strict=True)
    extra = tuple(out - ((n - 1) * s - p + d * (k - 1) + 1) for out, n, k, s, d, p in axes)
    return node.emit(
        TransposedConv, **_operands(x, w, node.optional(2), (groups, outputs, inputs // groups, *kernel)),
        stride=strides, padding=pads, dilation=dilations, output_padding=extra,
    )  # fmt: skip


@rule("BatchNormalization")
def batch_norm(node: Node) -> Any:
    """Folded into the convolution in front of it where the job says so and nobody else reads that."""
    x = node.input(0)
    scope, builder = node.scope, node.scope.builder
    if len(node.proto.output) > 1 and any(node.proto.output[1:]) and node.attribute("training_mode", 0):
        raise node.fail("runs in training mode; export the model for inference")
    index = builder.maker.get(x.root)
    producer = builder.operators[index] if index is not None else None
    alone = len(scope.readers.get(node.proto.input[0], ())) == 1
    if builder.step.fold and alone and isinstance(producer, Conv) and index is not None:
        if len(producer.inputs) == 2:
            bias = builder.root(node.input(2), node.input(2).shape)
            builder.operators[index] = replace(producer, inputs=(*producer.inputs, bias))
        return node.alias(x)
    statistics = [v for v in (node.optional(3), node.optional(4)) if v is not None]
    for value in statistics:
        if value.const and not value.root:
            builder.root(value, value.shape, Role.STATE)
    return node.emit(BatchNorm, [v for v in node.inputs if v is not None])


@rule("DeformConv")
def deformable_convolution(node: Node) -> Any:
    """A convolution whose taps are gathered by bilinear interpolation: 7 operations per tap and input channel."""
    x, w, offset = node.input(0), node.input(1), node.input(2)
    batch, _, *sizes = node.shape()
    taps = batch * math.prod(sizes) * math.prod(w.shape[2:])
    flops = 7 * taps * x.shape[1]
    gathered = (batch, x.shape[1] * math.prod(w.shape[2:]), *sizes)
    sampled = node.emit(
        Pointwise, [v for v in (x, offset, node.optional(4)) if v is not None], types=[(x.elem, gathered)],
        suffix=".sample", shapes=(gathered,), flops=flops, label="deform-sample",
    )  # fmt: skip
    groups = _groups(node, x.shape[1], w.shape[0])
    weight = (groups, w.shape[0] // groups, w.shape[1] * math.prod(w.shape[2:]), *(1,) * len(sizes))
    return node.emit(
        conv_kind(groups=groups, inputs=x.shape[1], kernel=w.shape[2:]), [sampled, w], seen=[gathered, weight],
        stride=(1,) * len(sizes), padding=(0,) * len(sizes), dilation=(1,) * len(sizes),
    )  # fmt: skip
