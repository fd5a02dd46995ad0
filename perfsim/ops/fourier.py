"""Fast Fourier transforms, and convolution by them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensors, Work
from perfsim.quantities.numbers import Number

__all__ = ["FourierConv", "FourierTransform", "fft_flops"]


def fft_flops(*, transforms: Number, points: int, real: bool = False) -> Number:
    """Operations of fast transforms [FLOP]: 5·N·log2(N) each, half of it where input or output is real.

    transforms: how many [1]; points: N, the product of the sizes of all transformed axes [1].

    The convention of FFT benchmarks, whatever algorithm runs: radix 2 executes so many, others up to a fifth fewer.

    References
    ----------
    .. [1] M. Frigo, S. G. Johnson, "The Design and Implementation of FFTW3", Proc. IEEE 93(2), 2005.
    """
    return (2.5 if real else 5) * transforms * points * math.log2(max(points, 1))


@dataclass(frozen=True, eq=False)
class FourierTransform(Operator):
    """Transform of the last ``axes`` axes; a complex number is a pair of entries in a last axis of 2.

    A real input gives the half spectrum (*batch, …, n/2 + 1, 2). ``sizes``: of the real output, for the way back from
    such a spectrum; ``real``: whether input or output is real, else both are complex.

    References
    ----------
    .. [1] J. W. Cooley, J. W. Tukey, Math. Comp. 19(90), 1965.
    """

    axes: int = 1
    real: bool = True
    sizes: tuple[int, ...] = ()

    kind = "fft"
    reference = "torch.fft.rfftn, irfftn, fftn; 10.1090/S0025-5718-1965-0178586-1"

    def points(self, tensors: Tensors) -> tuple[int, ...]:
        """Sizes of the transformed axes."""
        if self.sizes:
            return self.sizes
        shape = tensors[self.inputs[0]].shape
        return tuple(shape[-self.axes :] if self.real else shape[-1 - self.axes : -1])

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        shape = tensors[self.inputs[0]].shape
        if not self.real:
            return (shape,)
        if self.sizes:
            return ((*shape[: -1 - self.axes], *self.sizes),)
        return ((*shape[:-1], shape[-1] // 2 + 1, 2),)

    def work(self, tensors: Tensors) -> Work:
        """See :func:`fft_flops`."""
        shape, points = tensors[self.inputs[0]].shape, math.prod(self.points(tensors))
        ahead = shape[: -self.axes] if self.real and not self.sizes else shape[: -1 - self.axes]
        flops = fft_flops(transforms=math.prod(ahead), points=points, real=self.real)
        return Work(flops, self.unit, self.compute_dtype(tensors))


@dataclass(frozen=True, eq=False)
class FourierConv(Operator):
    """Each channel of (batch, channels, *spatial) with a filter of its own, as long as the input, in one kernel.

    inputs: features and filters (channels, *spatial). ``circular``: the filter wraps around; else both are padded to
    twice their size per axis. Filters are transformed with every call.

    References
    ----------
    .. [1] D. Fu et al., "FlashFFTConv", arXiv 2311.05908.
    """

    circular: bool = False

    kind = "fft-conv"
    reference = "arXiv 2311.05908"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def work(self, tensors: Tensors) -> Work:
        """Transforms of features, filters and products, and 6 per product of complex numbers [FLOP]."""
        batch, channels, *spatial = tensors[self.inputs[0]].shape
        sizes = [n if self.circular else 2 * n for n in spatial]
        points = math.prod(sizes)
        transforms = fft_flops(transforms=2 * batch * channels + channels, points=points, real=True)
        spectrum = math.prod(sizes[:-1]) * (sizes[-1] // 2 + 1)
        return Work(transforms + 6 * batch * channels * spectrum, self.unit, self.compute_dtype(tensors))
