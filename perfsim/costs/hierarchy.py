"""Memory levels: what of a kernel's bytes the last-level cache serves, and what main memory has to.

A cache serves what was touched not long ago. Between two touches of a tensor all other bytes of the kernels in
between pass through the cache; that sum is the reuse distance.

References
----------
.. [1] R. Mattson, J. Gecsei, D. Slutz, I. Traiger, "Evaluation techniques for storage hierarchies", IBM Systems
   Journal 9(2), 1970: stack distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from perfsim.costs.lowering import Kernel
from perfsim.graph import OperatorGraph, Placement, Role
from perfsim.quantities.numbers import Number, maximum, minimum

__all__ = ["Border", "borders", "memory_runtime", "served_share"]


def served_share(*, distance: Number, capacity: Number) -> Number:
    """Share of a tensor that is still in a cache after ``distance`` other bytes [1].

    distance, capacity [byte]. All of it up to half the capacity, nothing beyond the capacity, linear between: the
    L2 of an A100 delivers 5.4 TB/s below half its size and falls to 3.0 TB/s near it (te42kyfo/gpu-benches).
    """
    return minimum(maximum(2 - 2 * distance / capacity, 0), 1)


def memory_runtime(*, main: Number, total: Number, bandwidth: Number, cache_bandwidth: Number | None) -> Number:
    """Time of moving data [s]: the slower of main memory and the cache in front of it, through which all bytes pass.

    main, total [byte]; bandwidth, cache_bandwidth [byte/s]; None where there is no cache.
    """
    time = main / bandwidth
    return time if cache_bandwidth is None else maximum(time, total / cache_bandwidth)


@dataclass(frozen=True, eq=False)
class Border:
    """Bytes that cross the border of a kernel in one execution [byte]: all of them, and those of main memory."""

    total: Number
    main: Number


@dataclass(eq=False, slots=True)
class _Access:
    """One touch of a tensor by a kernel; kept: whether it outlives the pass (weights, caches, inputs).

    nbytes: touched once; again: what the same kernel touches again, tile by tile [byte].
    """

    tensor: str
    nbytes: Number
    write: bool
    kept: bool
    again: Number


def _accesses(kernel: Kernel, graph: OperatorGraph) -> list[_Access]:
    found = []
    for crossing, write in ((kernel.reads, False), (kernel.writes, True)):
        for op, name in crossing:
            tensor = graph.tensors[name]
            made = graph.producer(name) is not None  # a later reader in the pass finds it as it finds any activation
            saved = tensor.role is Role.SAVED
            if tensor.placement is Placement.MAIN or (saved and write):
                kept = tensor.role is not Role.ACTIVATION and (write or not (saved and made))
                found.append(_Access(name, op.accessed(tensor, graph.tensors), write, kept, kernel.again(name)))
    return found


@lru_cache(maxsize=128)
def borders(
    graph: OperatorGraph, kernels: tuple[Kernel, ...], capacity: Number | None, repeated: bool
) -> tuple[Border, ...]:
    """For every kernel the bytes over its border, and what of them main memory serves.

    capacity: of the last-level cache, None for none [byte]; repeated: whether the pass is run again and again, so that
    weights and caches of the last pass may still be there. An activation that its reader finds in the cache was not
    written to main memory either. A single pass finds nothing but its own activations. What a kernel touches tile after
    tile is found in the cache if the bytes between two tiles leave it there.
    """
    accesses = [_accesses(kernel, graph) for kernel in kernels]
    totals: list[Number] = [sum(a.nbytes for a in found) for found in accesses]
    again: list[Number] = [sum(a.again for a in found) for found in accesses]
    if capacity is None:
        return tuple(Border(total + more, total + more) for total, more in zip(totals, again, strict=True))
    step = sum(total * graph.count(kernel.lead) for total, kernel in zip(totals, kernels, strict=True))
    persistent = served_share(distance=step, capacity=capacity) if repeated else 0
    shares = _activation_shares(accesses, totals, capacity)
    result = []
    for kernel, found, total, more in zip(kernels, accesses, totals, again, strict=True):
        served: Number = 0
        if kernel.tiling is not None:
            served = more * served_share(distance=kernel.tiling.distance, capacity=capacity)
        for access in found:
            share = persistent if access.kept else shares.get(access.tensor, 0)
            if not (isinstance(share, int | float) and share == 0):
                served = served + access.nbytes * share
        result.append(Border(total + more, total + more - served))
    return tuple(result)


def _activation_shares(accesses: list[list[_Access]], totals: list[Number], capacity: Number) -> dict[str, Number]:
    """By activation the share that its last reader still finds in the cache: the worst of its readers."""
    written: dict[str, int] = {}
    shares: dict[str, Number] = {}
    for index, found in enumerate(accesses):
        for access in found:
            if access.write:
                written[access.tensor] = index
            elif access.tensor in written:
                distance = sum(totals[written[access.tensor] : index])
                share = served_share(distance=distance, capacity=capacity)
                shares[access.tensor] = minimum(shares.get(access.tensor, 1), share)
    return shares
