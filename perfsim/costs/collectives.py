"""Time of communication between devices."""

from __future__ import annotations

from perfsim.devices import Link
from perfsim.ops import Collective
from perfsim.quantities.numbers import Number, maximum

__all__ = ["collective_runtime", "link_runtime"]


def link_runtime(*, volume: Number, bandwidth: Number, latency: Number) -> Number:
    """Latency plus volume over bandwidth [s]: the α-β model.

    volume: bytes that each device sends [byte]; bandwidth: per direction and device [byte/s]; latency [s].

    References
    ----------
    .. [1] R. Hockney, "The communication challenge for MPP", Parallel Computing 20, 1994.
    """
    return latency + volume / bandwidth


def collective_runtime(
    op: Collective, nbytes: Number, *, inner: Link, outer: Link, efficiency: Number, latency: Number
) -> Number:
    """Time of a collective [s].

    Devices inside one scale-up domain use the ``inner`` link alone; more of them work in two levels, inside the
    domains and between them over the ``outer`` link, one after the other. nbytes: input of one device [byte];
    efficiency: of the link bandwidth [1]; latency: of one exchange [s].
    """
    domain = maximum(1, inner.domain // op.stride)
    near, far = op.volume(), 0.0
    if op.devices > domain:
        near, far = op.over_domains(int(domain))
    start = latency * op.exchanges(domain)
    inside = link_runtime(volume=nbytes * near, bandwidth=inner.bandwidth * efficiency, latency=start)
    return inside + link_runtime(volume=nbytes * far, bandwidth=outer.bandwidth * efficiency, latency=0.0)
