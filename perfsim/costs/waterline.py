"""The waterline: the roofline of a sequence of kernels. Every formula here serves all carriers.

Kernel i does o_i FLOP and moves b_i bytes; the machine has the peak R, the bandwidth B and the ridge point ρ = R / B.
Within a kernel computing and moving overlap perfectly, between kernels nothing does: t_i = max(o_i / R, b_i / B).
"""

from __future__ import annotations

from collections.abc import Sequence

from perfsim.quantities.numbers import Number, maximum, minimum

__all__ = ["aggregate_efficiency", "attainable_efficiency", "efficiency_gap", "submerged", "submersible"]


def submersible(*, flops: Number, traffic: Number, ridge_point: Number) -> Number:
    """What the machine could compute in the time of a kernel [FLOP]: max(o, ρ·b), the bar and the water above it.

    flops [FLOP]; traffic over main memory [byte]; ridge_point [FLOP/byte]. Over the peak it is the kernel's roofline
    runtime.

    References
    ----------
    .. [1] A. Lavin, "On the Efficiency of Convolutional Neural Networks", arXiv 2404.03617.
    .. [2] S. Williams, A. Waterman, D. Patterson, "Roofline", Commun. ACM 52(4), 2009.
    """
    return maximum(flops, ridge_point * traffic)


def submerged(*, flops: Number, traffic: Number, ridge_point: Number) -> Number:
    """The water above a kernel's bar [FLOP]: what could be computed while the kernel waits for memory.

    Zero for a kernel whose operational intensity is at or above the ridge point; arguments as in :func:`submersible`.

    References
    ----------
    .. [1] A. Lavin, "On the Efficiency of Convolutional Neural Networks", arXiv 2404.03617.
    """
    return submersible(flops=flops, traffic=traffic, ridge_point=ridge_point) - flops


def attainable_efficiency(*, flops: Sequence[Number], traffic: Sequence[Number], ridge_point: Number) -> Number:
    """Attainable efficiency of a sequence of kernels [1]: Σ o_i / Σ max(o_i, ρ·b_i).

    flops, traffic: of each kernel, in any order [FLOP], [byte]. Never above :func:`aggregate_efficiency`, and equal to
    it where all kernels lie on one side of the ridge point.

    References
    ----------
    .. [1] A. Lavin, "On the Efficiency of Convolutional Neural Networks", arXiv 2404.03617.
    """
    pairs = list(zip(flops, traffic, strict=True))
    work = _sum([o for o, _ in pairs])
    return work / _sum([submersible(flops=o, traffic=b, ridge_point=ridge_point) for o, b in pairs])


def aggregate_efficiency(*, flops: Sequence[Number], traffic: Sequence[Number], ridge_point: Number) -> Number:
    """Roofline of all kernels taken as one [1]: min(1, Σ o_i / (ρ·Σ b_i)); arguments as above.

    References
    ----------
    .. [1] S. Williams, A. Waterman, D. Patterson, "Roofline", Commun. ACM 52(4), 2009.
    """
    work = _sum(flops)
    return minimum(1.0, work / submersible(flops=work, traffic=_sum(traffic), ridge_point=ridge_point))


def efficiency_gap(*, flops: Number, peak: Number, runtime: Number) -> Number:
    """Actual over ideal latency [1]: runtime / (o / R), one over the computational efficiency.

    flops [FLOP]; peak [FLOP/s]; runtime [s].

    References
    ----------
    .. [1] A. Lavin, "On the Efficiency of Convolutional Neural Networks", arXiv 2404.03617.
    """
    return runtime / (flops / peak)


def _sum(values: Sequence[Number]) -> Number:
    """Sum without a neutral 0, which a dimension tracer would refuse."""
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total
