"""Power of chips that state it by activity: what always runs, and what the busy cores add."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.costs.phase import PhaseCost
from perfsim.devices import Device
from perfsim.quantities.numbers import Number

__all__ = ["ActivityPower", "active_energy", "activity_power"]


def active_energy(*, runtime: Number, base: Number, busy: Number, cores: Number) -> Number:
    """Energy of a run [J]: ``base`` [W] over all of ``runtime`` [s], and ``cores`` [W] over the ``busy`` part [s]."""
    return base * runtime + cores * busy


@dataclass(frozen=True, eq=False)
class ActivityPower:
    """Power of a chip at one operating point [W].

    base: controller, memories and leakage while a job runs; cores: what all cores add while they compute at full
    activity; idle: powered, with no job; sleep: between jobs, with everything off that can be.
    """

    base: Number
    cores: Number
    idle: Number
    sleep: Number

    @property
    def maximum(self) -> Number:
        """Power with all cores at full activity [W]."""
        return self.base + self.cores

    def energy(self, phase: PhaseCost, device: Device) -> Number:
        """Energy of one device over a phase [J]. A kernel counts with its activity, in full unless planned."""
        busy = sum(
            phase.busy(cost.compute * count * (1.0 if cost.plan is None else cost.plan.activity))
            for cost, count in phase.kernels
        )
        return active_energy(runtime=phase.runtime, base=self.base, busy=busy, cores=self.cores)


def activity_power(device: Device) -> ActivityPower | None:
    """The power of a device by activity; None where it states none (``power.active``)."""
    base = device.get("power.active.base")
    if base is None:
        return None
    idle = device.get("power.idle", base)
    return ActivityPower(base, device.get("power.active.cluster", 0.0), idle, device.get("power.sleep", idle))
