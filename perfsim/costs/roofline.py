"""The roofline, and what a real kernel adds to it. Every formula here serves all carriers."""

from __future__ import annotations

from perfsim.quantities.numbers import Number, is_recorded, maximum, minimum

__all__ = ["kernel_runtime", "reduction_chain", "ridge_point", "roofline_runtime", "row_runtime"]


def roofline_runtime(*, flops: Number, traffic: Number, peak: Number, bandwidth: Number) -> Number:
    """Roofline runtime [s]: the slower of computing and moving.

    flops: work [FLOP]; traffic: bytes across this memory level [byte]; peak [FLOP/s]; bandwidth [byte/s].

    References
    ----------
    .. [1] S. Williams, A. Waterman, D. Patterson, "Roofline", Commun. ACM 52(4), 2009.
    """
    return maximum(flops / peak, traffic / bandwidth)


def ridge_point(*, peak: Number, bandwidth: Number) -> Number:
    """Operational intensity at which computing and moving take equally long [FLOP/byte].

    References
    ----------
    .. [1] S. Williams, A. Waterman, D. Patterson, "Roofline", Commun. ACM 52(4), 2009.
    """
    return peak / bandwidth


def reduction_chain(*, k: Number, per_k: Number, cap: Number) -> Number:
    """Shortest time of one output tile [s]: it adds up its k products one after the other.

    k: length of the sum [1]; per_k: time per element [s]; cap: beyond it the sum is split over several
    units (split-K) at this price [s]; a cap of 0 means no split.

    Seen in the kernel tables of ai-dynamo/aiconfigurator@095f58a51c4c: with m = n = 32 on an H100 the time
    grows from 2.6 µs at k = 64 to 4.4 µs at k = 1536 and stays near 5.8 µs from k = 2560 to 12288.
    """
    chain = k * per_k
    uncapped = (isinstance(cap, int | float) or is_recorded(cap)) and cap == 0
    return chain if uncapped else minimum(chain, cap)


def kernel_runtime(*, launch: Number, activities: tuple[Number, ...], serial_share: Number) -> Number:
    """Runtime of one kernel [s]: fixed time, the longest activity, and the unhidden part of the others.

    launch: fixed time per kernel [s]; activities: times of computing, moving, adding up ... [s];
    serial_share: part of the shorter activities that is not hidden behind the longest [1]: 0 is a perfect
    overlap (``max``), 1 is none (``+``). Monotone in every argument, never below the roofline.
    """
    longest = maximum(activities[0], *activities[1:])
    if isinstance(serial_share, int | float) and serial_share == 0:
        return launch + longest
    total = activities[0]
    for activity in activities[1:]:
        total = total + activity
    return launch + longest + serial_share * (total - longest)


def row_runtime(*, rows: Number, row_time: Number, units: Number) -> Number:
    """Time in which a norm finishes its sums [s]: every row occupies a compute unit for some time, however short it is.

    rows: sums [1]; row_time: time that one of them occupies a unit, over the blocks that share it [s]; units: compute
    units [1].

    Seen in the timm table of huggingface/pytorch-image-models@aa4b5850c154: networks with narrow layer norms (ViT-tiny,
    ConvNeXt-atto) are much further from the roofline than wide ones of the same design.
    """
    return rows * row_time / units
