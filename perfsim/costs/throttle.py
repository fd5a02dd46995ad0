"""Power limits: a board that would need more than its limit lowers its clocks, and the job takes longer."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from perfsim.costs.energy import PowerModel, power_model
from perfsim.costs.phase import PhaseCost, phase_cost
from perfsim.devices import Device, Stack, System
from perfsim.errors import InputError
from perfsim.quantities.numbers import Number, is_symbolic, maximum, varies, where

__all__ = ["capped", "power_stretch"]

_DRAW = ("compute.", "memory.", "energy.", "power.", "link.")
"""Quantities of a device that change how much power a job needs, or may take."""

_LIMIT = ("energy.", "power.")
"""Those whose change asks what the limit does. Changed rates (a higher peak, a faster memory) are taken to come with
the power that they need; the result says how much that is."""


def power_stretch(*, dynamic: Number, busy: Number, limit: Number, runtime: Number) -> Number:
    """How many times longer a job takes under a power limit [1], at least 1.

    dynamic: energy of its operations and bytes, the same at any clock if the voltage stays [J]; busy: power that is
    drawn all the time [W]; limit [W]; runtime: without the limit [s]. The mean power busy + dynamic / t meets the limit
    at t = dynamic / (limit - busy); a limit that busy power alone exceeds is never met.

    References
    ----------
    .. [1] J. Choi, M. Dukhan, X. Liu, R. Vuduc, "Algorithmic time, energy, and power on candidate HPC compute building
       blocks", IPDPS 2014: the power cap of their energy roofline.
    """
    spare = limit - busy
    return maximum(1.0, where(spare > 0 * busy, dynamic / (spare * runtime), float("inf")))


def capped(cost: PhaseCost, system: System, stack: Stack, stages: int = 1) -> PhaseCost:
    """The phase with its runtime under the device's power limit.

    Peaks and efficiencies were measured on boards under their rated limits, so on such a device nothing changes. On a
    what-if of power or energy, the same phase on the device as rated says what the board drew there (never more than
    its limit); that energy, and the limit as it is now, make the runtime. The ideal stack keeps the pure roofline.

    Raises
    ------
    InputError
        if the limit is not above the power that the device draws before it computes anything.
    """
    device = system.device
    if device.rated is device or not _changed(device, _DRAW):
        return cost
    power = power_model(device)
    if not isinstance(power, PowerModel):
        return cost
    if not varies(power.maximum) and not varies(power.busy) and power.maximum <= power.busy:
        raise InputError(
            f"device.power.maximum: {power.maximum:g} W is not above the {power.busy:g} W that {device.key} draws "
            f"before it computes anything; expected more"
        )
    cost = replace(cost, as_rated=partial(phase_cost, cost.phase, System(device.rated, system.count), stack, stages))
    if stack.is_perfect or not _changed(device, _LIMIT):
        return cost
    stretch = power_stretch(
        dynamic=power.dynamic(cost, device), busy=power.busy, limit=power.maximum, runtime=cost.runtime
    )  # fmt: skip
    plain = isinstance(stretch, int | float)
    steps = cost.step_runtimes * stretch if plain else cost.step_runtimes
    return replace(
        cost, runtime=cost.runtime * stretch, step_runtimes=steps, throttling=cost.runtime * (stretch - 1.0)
    )  # fmt: skip


def _changed(device: Device, kinds: tuple[str, ...]) -> bool:
    """Whether a what-if touches a quantity of these kinds; symbols keep the plain roofline."""
    changed = [d.value for p, d in device.data.items() if d.status == "what-if" and p.startswith(kinds)]
    return bool(changed) and not any(is_symbolic(value) for value in changed)
