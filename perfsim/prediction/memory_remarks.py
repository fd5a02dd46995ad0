"""What a reader should know about the memory of a prediction."""

from __future__ import annotations

from perfsim.costs import Memory
from perfsim.quantities.numbers import Number
from perfsim.quantities.units import DIMENSIONS, format_quantity

__all__ = ["memory_remarks"]


def memory_remarks(memory: Memory, device: str) -> list[str]:
    """What does not fit, or cannot be judged, memory by memory."""
    if memory.planned is not None:
        remarks = [f"does not fit: {misfit}" for misfit in memory.planned]
        if any(misfit.level == "l1" for misfit in memory.planned):
            remarks.append("layers without a tile that fits are priced with their smallest: no device can run this")
        return remarks
    remarks = []
    most = {misfit.level: misfit for misfit in memory.misfits}
    for name, used, there in memory.stores:
        where = f"the {name}" if name else "the memory"
        what = "the weights fit" if name else "it fits"
        if there is None:
            remarks.append(f"no source gives {where} of {device}: whether {what} is not known")
        elif used > there:
            place = f" in {name}" if name else ""
            misfit = most[name or "main memory"]
            remarks.append(
                f"does not fit: {_bytes(used)} needed{place} per device, {_bytes(there)} there; the largest tensor is "
                f"{misfit.tensor}, at layer {misfit.layer}"
            )
    return remarks


def _bytes(value: Number) -> str:
    return format_quantity(value, DIMENSIONS["capacity"])
