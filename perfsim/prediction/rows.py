"""Rows of a result: phases and operators as plain numbers, totals over steps and devices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perfsim.costs import KernelCost, PhaseCost
from perfsim.devices import Device
from perfsim.quantities.numbers import Number, is_recorded, maximum, varies, where

__all__ = [
    "BOUNDS", "OperatorRow", "PhaseRow", "bound_index", "bound_of", "job_bound", "operator_rows", "phase_row", "whole",
    "whole_total",
]  # fmt: skip

BOUNDS = ("compute", "memory", "network", "overhead")


@dataclass(frozen=True)
class OperatorRow:
    """A kernel over all its executions in a phase, on all devices.

    runtime [s] is that of one device; flops [FLOP] and traffic [byte] are those of all devices together;
    performance [FLOP/s] is what one device achieves; tiling: the tiles of a kernel that fuses a block, None for others.
    """

    name: str
    kind: str
    phase: str
    count: Number
    flops: Number
    traffic: Number
    runtime: Number
    bound: str
    operational_intensity: float | None
    computational_efficiency: float | None
    performance: float | None
    parts: tuple[str, ...] = ()
    tiling: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class PhaseRow:
    """A phase over all its steps. runtime [s], energy [J], flops [FLOP] and traffic [byte] are totals.

    levels: bytes through each memory level [byte]: main memory, and the cache that all bytes pass, if there is one.
    """

    name: str
    repeat: Number
    runtime: Number
    energy: Number | None
    flops: Number
    traffic: Number
    bound: str
    levels: dict[str, Number]


def _times(cost: KernelCost, count: Number, phase: PhaseCost) -> dict[str, Number]:
    names = {"compute": cost.compute, "memory": cost.memory, "network": cost.network, "overhead": cost.launch}
    if cost.chain is not None:
        names["overhead"] = cost.launch + cost.chain
    return {name: phase.busy(value * count) for name, value in names.items()}


def bound_of(times: dict[str, Number]) -> str:
    """The activity that takes longest; the first in order of a tie."""
    return BOUNDS[bound_index([times[name] for name in BOUNDS])]


def bound_index(times: Sequence[Number]) -> Number:
    """Index of the longest time; the first in order of a tie."""
    longest, index = times[0], 0
    for place, time in enumerate(times[1:], start=1):
        index = where(time > longest, place, index)
        longest = maximum(longest, time)
    return index


def _bound_sums(phase: PhaseCost) -> list[Number]:
    """Runtime of the kernels by their bound, in the order of :data:`BOUNDS` [s]; waiting for the host is overhead."""
    sums: list[Number] = [0.0] * len(BOUNDS)
    for cost, count in phase.kernels:
        times = _times(cost, count, phase)
        index = bound_index([times[name] for name in BOUNDS])
        runtime = phase.busy(cost.runtime * count)
        sums = [total + where(index == place, runtime, 0.0) for place, total in enumerate(sums)]
    sums[-1] = sums[-1] + phase.overhead + phase.bubble
    return sums


def job_bound(phases: Iterable[PhaseCost]) -> Number:
    """Index into :data:`BOUNDS` of the bound in which a job spends most of its time."""
    return bound_index([sum(each) for each in zip(*map(_bound_sums, phases), strict=True)])


def operator_rows(phase: PhaseCost, devices: int) -> Iterator[OperatorRow]:
    """Rows of a phase: its kernels, and the time in which the device waits for the host."""
    for cost, count in phase.kernels:
        flops = _whole_row(phase, cost.flops, count, devices)
        traffic = _whole_row(phase, cost.traffic, count, devices)
        runtime = phase.busy(cost.runtime * count)
        bound = bound_of(_times(cost, count, phase))
        useful = cost.at_peak if cost.matrix else cost.flops / cost.peak
        efficiency = phase.busy(useful * count) / runtime if runtime else None
        intensity = flops / traffic if traffic else None
        performance = phase.busy(cost.flops * count) / runtime if runtime else None
        name, executions = cost.name, count * phase.repeat
        yield OperatorRow(
            name, cost.kind, phase.name, executions, flops, traffic, runtime, bound, intensity, efficiency, performance,
            cost.parts, None if cost.tiling is None else cost.tiling.plan,
        )  # fmt: skip
    if phase.overhead > 0:
        yield OperatorRow("host", "host", phase.name, phase.repeat, 0, 0, phase.overhead, "overhead", None, None, None)
    if varies(phase.bubble) or phase.bubble > 0:
        waited = phase.bubble
        yield OperatorRow("pipeline", "bubble", phase.name, phase.repeat, 0, 0, waited, "overhead", None, None, None)
    if varies(phase.throttling) or phase.throttling > 0:
        late = phase.throttling
        yield OperatorRow("throttling", "power", phase.name, phase.repeat, 0, 0, late, "compute", None, None, None)


def phase_row(phase: PhaseCost, energy: Number | None, devices: int, device: Device) -> PhaseRow:
    """Totals of a phase; its bound is the activity with the largest sum over all kernels."""
    traffic = whole_total(phase, "traffic", devices)
    levels = {device.main_memory: traffic}
    if device.cache is not None:
        levels[device.cache.name] = whole(phase.moved * devices)
    flops = whole_total(phase, "flops", devices)
    bound = BOUNDS[bound_index(_bound_sums(phase))]
    return PhaseRow(phase.name, phase.repeat, phase.runtime, energy, flops, traffic, bound, levels)


def whole_total(phase: PhaseCost, field: str, devices: int) -> Number:
    """Sum of the rounded rows of a phase, so that what is printed adds up."""
    return sum(_whole_row(phase, getattr(cost, field), count, devices) for cost, count in phase.kernels)


def _whole_row(phase: PhaseCost, value: Number, count: Number, devices: int) -> Number:
    """A count of one kernel over the job on all devices."""
    return whole(phase.over_job(value * count) * devices)


def whole(value: Number) -> Number:
    """Counts as whole numbers, whatever carried them."""
    return round(value) if isinstance(value, float) or is_recorded(value) else value
