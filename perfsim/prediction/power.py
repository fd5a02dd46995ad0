"""What a power limit does to a prediction, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfsim.quantities.numbers import varies

if TYPE_CHECKING:
    from perfsim.prediction.prediction import Prediction

__all__ = ["power_remarks"]

ROUNDING = 1 + 1e-9
"""Power over its limit from which on it counts as more [1]."""


def power_remarks(p: Prediction) -> list[str]:
    """That the job is throttled, or that the ideal stack, which never is, needs more than the limit."""
    device, late = p.system.device, p.throttling
    if varies(late) or device.rated is device:
        return []
    limit = device.get("power.maximum")
    if late > 0:
        longer = p.runtime / (p.runtime - late)
        return [f"throttled: the power limit of {limit:g} W makes the job {longer:.2f} times longer"]
    if limit is None or p.power is None or varies(p.power) or varies(limit) or p.power <= limit * p.devices * ROUNDING:
        return []
    return [
        f"needs {p.power / p.devices:.0f} W of each device, over the limit of {limit:g} W, and is not slowed down: the "
        f"ideal stack keeps the pure roofline, and changed rates are taken to come with their power"
    ]
