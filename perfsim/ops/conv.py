"""Convolutions over one, two or three spatial axes: dense, grouped, depthwise, dilated, transposed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from perfsim.errors import InputError
from perfsim.graph import MatrixShape, Operator, Shape, Tensors, Unit, Work
from perfsim.quantities.numbers import Number, ceil_div

__all__ = ["Conv", "DepthwiseConv", "GroupedConv", "TransposedConv", "conv_kind", "spatial_size"]


def spatial_size(
    *, size: Number, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, ceil_mode: bool = False
) -> Number:
    """Positions of a sliding window along one axis [1]: floor((size + padding − extent) / stride) + 1.

    size: positions of the input; kernel: taps; stride: step of the window; padding: positions added at both ends
    together; dilation: distance of the taps, so that extent = dilation·(kernel − 1) + 1; ceil_mode: round up.

    Raises
    ------
    InputError
        if the window is larger than the padded input.
    """
    room = size + padding - (dilation * (kernel - 1) + 1)
    if isinstance(room, int) and room < 0:
        raise InputError(
            f"a window of {kernel} (dilation {dilation}) does not fit into {size} positions with {padding} of padding; "
            f"use a larger image"
        )
    if stride == 1:
        return room + 1
    return ceil_div(room, stride) + 1 if ceil_mode else ceil_div(room - (stride - 1), stride) + 1


@dataclass(frozen=True, eq=False)
class Conv(Operator):
    """Convolution of (batch, channels, *spatial) with a weight (groups, outputs per group, inputs per group, *kernel).

    inputs: features, weight and optionally a bias (outputs,), which is the start value of the sums and costs no
    operation. stride, dilation: per spatial axis; padding: positions added at both ends together, per axis.
    tokens: the output is (batch, positions, channels), as transformers read it.

    The work is that of an implicit matrix product per group: m = batch × output positions, n = outputs per
    group, k = inputs per group × taps.

    References
    ----------
    .. [1] S. Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", arXiv 1410.0759.
    """

    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    tokens: bool = False

    kind = "conv"
    unit = Unit.TENSOR
    reference = "arXiv 1410.0759"

    def positions(self, tensors: Tensors) -> tuple[Number, ...]:
        """Output size per spatial axis."""
        spatial, kernel = tensors[self.inputs[0]].shape[2:], tensors[self.inputs[1]].shape[3:]
        axes = zip(spatial, kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple(spatial_size(size=n, kernel=k, stride=s, padding=p, dilation=d) for n, k, s, p, d in axes)

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch = tensors[self.inputs[0]].shape[0]
        groups, outputs, *_ = tensors[self.inputs[1]].shape
        positions = self.positions(tensors)
        if self.tokens:
            return ((batch, math.prod(positions), groups * outputs),)
        return ((batch, groups * outputs, *positions),)

    def matrix(self, tensors: Tensors) -> MatrixShape:
        """The implicit matrix product of every group."""
        groups, outputs, inputs, *kernel = tensors[self.inputs[1]].shape
        rows = tensors[self.inputs[0]].shape[0] * math.prod(self.positions(tensors))
        slides = len(set(kernel)) == 1 and {*self.stride, *self.dilation} == {1}
        window = kernel[0] if slides else 1
        return MatrixShape(groups, rows, outputs, inputs * math.prod(kernel), groups, inputs, window)

    def work(self, tensors: Tensors) -> Work:
        """2·groups·m·n·k [FLOP]; taps that lie on padding are counted, as kernels compute them."""
        shape = self.matrix(tensors)
        flops = 2 * shape.batch * shape.m * shape.n * shape.k
        return Work(flops, self.unit, self.compute_dtype(tensors), shape)


@dataclass(frozen=True, eq=False)
class GroupedConv(Conv):
    """A convolution in several groups of channels, each with more than one input."""

    kind = "grouped-conv"
    reference = "arXiv 1611.05431"


@dataclass(frozen=True, eq=False)
class DepthwiseConv(Conv):
    """A convolution in which each input channel is a group of its own."""

    kind = "depthwise-conv"
    reference = "arXiv 1704.04861"


@dataclass(frozen=True, eq=False)
class TransposedConv(Conv):
    """The adjoint of a convolution: each input position adds a stencil to the output.

    Weight as for :class:`Conv`; ``output_padding``: positions added at the end of the output, per axis.
    """

    output_padding: tuple[int, ...] = (0, 0)

    kind = "transposed-conv"
    reference = "arXiv 1603.07285"

    def positions(self, tensors: Tensors) -> tuple[Number, ...]:
        """Output size per spatial axis: (size − 1)·stride − padding + dilation·(kernel − 1) + output_padding + 1."""
        spatial, kernel = tensors[self.inputs[0]].shape[2:], tensors[self.inputs[1]].shape[3:]
        axes = zip(spatial, kernel, self.stride, self.padding, self.dilation, self.output_padding, strict=True)
        return tuple((n - 1) * s - p + d * (k - 1) + extra + 1 for n, k, s, p, d, extra in axes)

    def matrix(self, tensors: Tensors) -> MatrixShape:
        """One product per group whose rows are the *input* positions and whose columns are outputs × taps."""
        groups, outputs, inputs, *kernel = tensors[self.inputs[1]].shape
        batch, _, *spatial = tensors[self.inputs[0]].shape
        return MatrixShape(groups, batch * math.prod(spatial), outputs * math.prod(kernel), inputs)


def conv_kind(*, groups: int, inputs: int, kernel: Sequence[int]) -> type[Conv]:
    """The class of a convolution by its shape: depthwise and grouped ones have kernels of their own.

    groups: groups of channels; inputs: input channels of all groups; kernel: taps per axis.
    """
    if groups == 1:
        return Conv
    return DepthwiseConv if groups == inputs and math.prod(kernel) > 1 else GroupedConv
