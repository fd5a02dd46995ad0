"""Energy of a phase: power over time, and dynamic energy per operation and per byte."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from perfsim.costs.activity import ActivityPower, activity_power
from perfsim.costs.board import board_energies
from perfsim.costs.phase import PhaseCost
from perfsim.devices import Datum, Device
from perfsim.graph import Unit
from perfsim.quantities.dtypes import DType
from perfsim.quantities.numbers import Number, minimum

__all__ = ["PowerModel", "dynamic_energy", "issue_slots", "phase_energy", "power_model", "rated_energy"]


def dynamic_energy(*, work: Number, energy: Number) -> Number:
    """Energy of operations or of bytes [J]: work [FLOP] or [byte] × energy of each [J/FLOP] or [J/byte]."""
    return work * energy


def issue_slots(*, busy: Number, peak: Number) -> Number:
    """Operations that the matrix unit could have done while its kernels ran [FLOP], which is what they cost.

    busy: time that kernels spend computing [s]; peak [FLOP/s]. A kernel that reaches half of the peak draws about the
    power of one that reaches all of it: operands move and pipelines wait under full clocks. H200 rows of
    ai-dynamo/aiconfigurator show long products at 0.92 of the power limit, the diffusion models of
    ml-energy/leaderboard@0cd52dab897c most often 0.9 to 0.98 at 0.3 of the peak.
    """
    return busy * peak


def rated_energy(*, dynamic: Number, rated: Number, budget: Number, runtime: Number) -> Number:
    """Dynamic energy [J], less what a board saves that falls back to a lower voltage at its rated power limit.

    dynamic: at full voltage [J]; rated: the same work on the board as rated [J]; budget: rated limit less busy power
    [W]; runtime: on the board as rated [s], which holds whatever clock it fell back to.
    """
    return dynamic * minimum(1.0, budget * runtime / rated)


@dataclass(frozen=True, eq=False)
class PowerModel:
    """Power of a board [W], and the energies of its work.

    idle: waiting; busy: running a job, before it computes or moves anything; maximum: the limit, infinite where none is
    known; serving: on top of busy, in the host's time per sequence; budget: rated limit less busy power; energies: by
    path as in the device's data, ``tensor.bf16`` [J/FLOP], ``memory.hbm``, ``link.nvlink`` [J/byte]; rated: the same
    without what-ifs.
    """

    idle: Number
    busy: Number
    maximum: Number
    serving: Number
    budget: Number
    energies: dict[str, Number]
    rated: dict[str, Number]

    def energy(self, phase: PhaseCost, device: Device) -> Number:
        """Energy of one device over a phase [J]."""
        return self.busy * phase.runtime + self.dynamic(phase, device)

    def dynamic(self, phase: PhaseCost, device: Device) -> Number:
        """Energy of operations, bytes and serving in a phase [J], as on a board under its rated limit."""
        total = self._work(phase, device, self.energies)
        if isinstance(total, int | float) and total == 0:
            return 0.0
        rated = total if self.rated is self.energies else self._work(phase, device, self.rated)
        return rated_energy(dynamic=total, rated=rated, budget=self.budget, runtime=phase.rated_runtime)

    def _work(self, phase: PhaseCost, device: Device, energies: dict[str, Number]) -> Number:
        """Operations, bytes and serving of one device at full voltage [J]; of a pipeline, the mean of its stages."""
        formats: dict[str, tuple[DType, Number]] = {}
        for cost, count in phase.kernels:
            if not (isinstance(cost.matrix_flops, int | float) and cost.matrix_flops == 0):
                _, busy = formats.get(cost.dtype.name, (cost.dtype, 0.0))
                formats[cost.dtype.name] = (cost.dtype, busy + phase.over_job(cost.compute * count))
        total = self.serving * phase.serving + _bytes(phase, device, energies)
        for dtype, busy in formats.values():
            slots = issue_slots(busy=busy, peak=device.peak(Unit.TENSOR, dtype))
            total = total + dynamic_energy(work=slots, energy=_per_operation(dtype, device, energies))
        return total if phase.phase.stages == 1 else total / phase.phase.stages


def _per_operation(dtype: DType, device: Device, energies: dict[str, Number]) -> Number:
    """Energy of an operation of matrix work [J/FLOP]: of the unit that does it, as :meth:`Device.peak` finds it."""
    names = (f"tensor.{dtype}", f"vector.{dtype}", *(("tensor.tf32",) if dtype.name == "fp32" else ()))
    found = next((energies[name] for name in names if name in energies), None)
    if found is not None:
        return found
    known = next((name for name in energies if name.startswith("tensor.") and f"compute.{name}" in device.data), None)
    if known is None:
        return 0.0
    return energies[known] * device.get(f"compute.{known}") / device.peak(Unit.TENSOR, dtype)


def _bytes(phase: PhaseCost, device: Device, energies: dict[str, Number]) -> Number:
    """Energy of main memory, of what the cache serves beyond it, and of links [J]."""
    total = dynamic_energy(work=phase.traffic, energy=energies.get(f"memory.{device.main_memory}", 0.0))
    cache = None if device.cache is None else energies.get(f"memory.{device.cache.name}")
    if cache is not None:
        total = total + dynamic_energy(work=phase.moved - phase.traffic, energy=cache)
    link = energies.get(f"link.{device.link_names[0]}") if device.link_names else None
    if link is not None:
        total = total + dynamic_energy(work=phase.total("link_bytes"), energy=link)
    return total


def power_model(device: Device) -> PowerModel | ActivityPower | None:
    """The power model of a device: by activity where it states that, else by energies; None where it has neither."""
    stated = activity_power(device)
    if stated is not None:
        return stated
    data = _with_energies(device)
    if "power.busy" not in data:
        return None
    before = data if device.rated is device else _with_energies(device.rated)
    limit, busy = _value(data, "power.maximum", float("inf")), _value(data, "power.busy", 0.0)
    budget = _value(before, "power.maximum", float("inf")) - _value(before, "power.busy", 0.0)
    energies = _energies(data)
    idle = minimum(_value(data, "power.idle", busy), limit)
    serving = _value(data, "power.serving", 0.0)
    return PowerModel(idle, busy, limit, serving, budget, energies, energies if before is data else _energies(before))


def _with_energies(device: Device) -> Mapping[str, Datum]:
    """Data of a device; with derived energies if it was not read from a file, which adds them."""
    return device.data if "power.busy" in device.data else {**device.data, **board_energies(device.data, device.info)}


def _energies(data: Mapping[str, Datum]) -> dict[str, Number]:
    return {path.removeprefix("energy."): datum.value for path, datum in data.items() if path.startswith("energy.")}


def _value(data: Mapping[str, Datum], path: str, default: Number) -> Number:
    return data[path].value if path in data else default


def phase_energy(phase: PhaseCost, device: Device, power: PowerModel | ActivityPower) -> Number:
    """Energy of one device over a phase [J], by whichever power model the device has."""
    return power.energy(phase, device)
