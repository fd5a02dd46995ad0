"""Pooling, reductions, searches and resizing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from perfsim.importers.onnx.node import Node
from perfsim.importers.onnx.rules import MICROSOFT, rule
from perfsim.importers.onnx.values import Value
from perfsim.ops import GlobalPool, Pool
from perfsim.ops.conv import spatial_size
from perfsim.ops.general import Pointwise, Reduction
from perfsim.ops.resize import INTERPOLATIONS

__all__ = [
    "global_pool", "pool", "quantized_global_pool", "quantized_pool", "reduction", "region_pool", "resize",
    "sample", "search",
]  # fmt: skip


@rule("MaxPool", "AveragePool", "LpPool")
def pool(node: Node) -> Any:
    """Windows; one that shape inference places differently is costed by its taps."""
    x, out = node.input(0), node.shape()
    kernel = tuple(node.attribute("kernel_shape", ()))
    axes = len(kernel)
    if len(x.shape) != axes + 2:
        raise node.fail(f"pools {list(x.shape)} by windows {list(kernel)}")
    strides = tuple(node.attribute("strides", (1,) * axes))
    pads = tuple(node.attribute("pads", (0,) * 2 * axes))
    both = tuple(pads[i] + pads[i + axes] for i in range(axes)) if len(pads) == 2 * axes else ()
    ceil, function = bool(node.attribute("ceil_mode", 0)), "max" if node.op_type == "MaxPool" else "mean"
    plain = len(node.proto.output) == 1 and len(both) == len(strides) == axes
    if plain and _sizes(x.shape[2:], kernel, strides, both, ceil) == out[2:]:
        return node.emit(Pool, [x], function=function, kernel=kernel, stride=strides, padding=both, ceil_mode=ceil)
    return node.emit_all(Reduction, [x], flops=math.prod(out) * math.prod(kernel), label="pool")


def _sizes(
    sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], pads: Sequence[int], ceil: bool
) -> tuple[int, ...] | None:
    axes = list(zip(sizes, kernel, strides, pads, strict=True))
    if any(n + p < k or s < 1 for n, k, s, p in axes):
        return None
    return tuple(spatial_size(size=n, kernel=k, stride=s, padding=p, ceil_mode=ceil) for n, k, s, p in axes)


@rule("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def global_pool(node: Node) -> Any:
    """Over all positions."""
    return node.emit(GlobalPool, [node.input(0)])


@rule("QLinearGlobalAveragePool", domain=MICROSOFT)
def quantized_global_pool(node: Node) -> Any:
    """The 8-bit form; channels come last if ``channels_last``."""
    x = node.input(0)
    ones = (1,) * (len(x.shape) - 2)
    last = bool(node.attribute("channels_last", 0))
    node.types = [(x.elem, (x.shape[0], *ones, x.shape[-1]) if last else (*x.shape[:2], *ones))]
    return node.emit(Reduction, [x], shapes=(node.shape(),), flops=x.elements, label="global-pool")


@rule("QLinearAveragePool", domain=MICROSOFT)
def quantized_pool(node: Node) -> Any:
    """The 8-bit form."""
    x = node.input(0)
    kernel = tuple(node.attribute("kernel_shape", ()))
    axes = len(kernel)
    strides, pads = node.attribute("strides", (1,) * axes), node.attribute("pads", (0,) * 2 * axes)
    both = [pads[i] + pads[i + axes] for i in range(axes)]
    sizes = _sizes(x.shape[2 : 2 + axes], kernel, strides, both, bool(node.attribute("ceil_mode", 0)))
    if sizes is None or axes == 0:
        raise node.fail(f"pools {list(x.shape)} by windows {list(kernel)}")
    node.types = [(x.elem, (*x.shape[:2], *sizes))]
    flops = math.prod(node.shape()) * math.prod(kernel)
    return node.emit(Reduction, [x], shapes=(node.shape(),), flops=flops, label="pool")


@rule("MaxUnpool", "MaxRoiPool", "RoiAlign", low="")
def region_pool(node: Node) -> Any:
    """Bilinear samples of regions (RoiAlign), or values put back to where they came from."""
    samples = max(1, int(node.attribute("sampling_ratio", 2))) ** 2 if node.op_type == "RoiAlign" else 1
    flops = samples * INTERPOLATIONS["bilinear"] * math.prod(node.shape())
    x = node.input(0)
    touched = (min(x.elements, 4 * samples * math.prod(node.shape())),)
    operands = [x, *node.operands(node.inputs[1:])]
    return node.emit(Pointwise, operands, shapes=(node.shape(),), flops=flops, label="roi-pool", touched=touched)


@rule(
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
    "ReduceLogSum", "ReduceLogSumExp", "ArgMax", "ArgMin", "CumSum", "CumProd",
)  # fmt: skip
def reduction(node: Node) -> Any:
    """One operation per input element, two where each is squared, made absolute or exponentiated first."""
    x = node.input(0)
    if node.shape() == x.shape and node.op_type in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"):
        return node.alias(x)
    twice = node.op_type in ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp")
    flops = x.elements * (2 if twice else 1)
    return node.emit(Reduction, [x], shapes=(node.shape(),), flops=flops, label=_label(node))


def _label(node: Node) -> str:
    return {"ReduceMean": "mean", "ReduceSum": "sum"}.get(node.op_type, node.op_type.lower())


@rule("TopK", "NonZero", "NonMaxSuppression", "Unique", "Compress", low="")
def search(node: Node) -> Any:
    """By traffic and one comparison per element; what depends on data is costed at its largest."""
    open_size = f"{node.op_type}: the size of its output depends on data; costed at the largest"
    note = "" if node.op_type == "TopK" else open_size
    flops = node.input(0).elements
    return node.emit_all(Reduction, node.sources(), flops=flops, label=node.op_type.lower(), note=note)


@rule("Resize", "Upsample")
def resize(node: Node) -> Any:
    """Nearest, linear or cubic interpolation; the work is that of a feature map's two axes."""
    mode = str(node.attribute("mode", "nearest"))
    function = {"linear": "bilinear", "bilinear": "bilinear", "cubic": "bicubic"}.get(mode, "nearest")
    x: Value = node.input(0)
    flops = INTERPOLATIONS[function] * math.prod(node.shape())
    return node.emit(Pointwise, [x], shapes=(node.shape(),), flops=flops, label="resize")


@rule("GridSample", "AffineGrid", low="")
def sample(node: Node) -> Any:
    """Interpolation at given places."""
    function = {"linear": "bilinear", "bilinear": "bilinear", "cubic": "bicubic", "bicubic": "bicubic"}.get(
        str(node.attribute("mode", "linear")), "nearest"
    )
    flops = INTERPOLATIONS[function] * math.prod(node.shape())
    operands = node.sources()
    return node.emit(Pointwise, operands, shapes=(node.shape(),), flops=flops, label="sample")
