"""Fourier transforms as chains of small dense products on the matrix unit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.graph import Tensors, Unit, Work
from perfsim.ops.fourier import FourierTransform
from perfsim.quantities.numbers import Number

__all__ = ["MatrixFourier", "product_flops"]


def product_flops(*, transforms: Number, points: int, radix: int, real: bool = False) -> Number:
    """Operations of transforms as products with ``radix`` × ``radix`` matrices [FLOP].

    N = ∏ N_i with N_i ≤ radix; every factor multiplies each of the N complex points by N_i complex numbers, 8
    operations each, and 6 for the twiddle factors between factors; half of it where input or output is real.

    References
    ----------
    .. [1] D. Fu et al., "FlashFFTConv", arXiv 2311.05908, section 3.1.
    """
    stages = max(1, math.ceil(math.log(points) / math.log(radix) - 1e-9))
    size = points ** (1 / stages)
    return (0.5 if real else 1) * transforms * points * (8 * stages * size + 6 * (stages - 1))


@dataclass(frozen=True, eq=False)
class MatrixFourier(FourierTransform):
    """A Fourier transform by products of at most ``radix`` rows; useful work is that of the fast transform."""

    radix: int = 16

    unit = Unit.TENSOR
    reference = "arXiv 2311.05908"

    def work(self, tensors: Tensors) -> Work:
        """Useful: see :func:`perfsim.ops.fourier.fft_flops`; executed: see :func:`product_flops`."""
        fast = super().work(tensors)
        points = math.prod(self.points(tensors))
        each = (2.5 if self.real else 5) * points * math.log2(points)
        executed = product_flops(transforms=1, points=points, radix=self.radix, real=self.real) / each
        return Work(fast.flops, self.unit, fast.dtype, None, executed)
