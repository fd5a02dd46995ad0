"""Sampling of a feature map at learned places: the first half of a deformable convolution."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensors, Work
from perfsim.ops.conv import spatial_size
from perfsim.ops.resize import INTERPOLATIONS
from perfsim.quantities.numbers import Number

__all__ = ["DeformableSample"]


@dataclass(frozen=True, eq=False)
class DeformableSample(Operator):
    """Taps of a window, each moved by a learned offset, side by side: (batch, channels · taps, *positions).

    inputs: features (batch, channels, height, width), offsets (batch, 2 · groups · taps, *positions) and, for the
    modulated form, a mask (batch, groups · taps, *positions). A deformable convolution is this operator followed by a
    1×1 convolution over channels · taps, as kernels do it; a stack that fuses ``deformable-sample+conv`` keeps the
    taps on chip. kernel, stride, dilation: per axis; padding: positions added at both ends together.

    References
    ----------
    .. [1] J. Dai et al., "Deformable Convolutional Networks", arXiv 1703.06211. [2] X. Zhu et al., arXiv 1811.11168.
    """

    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (2, 2)
    dilation: tuple[int, int] = (1, 1)

    kind = "deformable-sample"
    reference = "arXiv 1703.06211, arXiv 1811.11168"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, channels, *spatial = tensors[self.inputs[0]].shape
        axes = zip(spatial, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        places = (spatial_size(size=n, kernel=k, stride=s, padding=p, dilation=d) for n, k, s, p, d in axes)
        return ((batch, channels * math.prod(self.kernel), *places),)

    def work(self, tensors: Tensors) -> Work:
        """Per tap and channel a bilinear sum of four neighbours, and one product with the mask if any [FLOP]."""
        samples: Number = math.prod(self.output_shapes(tensors)[0])
        each = INTERPOLATIONS["bilinear"] + (len(self.inputs) > 2)
        return Work(each * samples, self.unit, self.compute_dtype(tensors))
