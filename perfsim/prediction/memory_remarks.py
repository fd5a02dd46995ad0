"""What a reader should know about the memory of a prediction."""

from __future__ import annotations

from perfsim.costs import Memory
from perfsim.quantities.numbers import Number
from perfsim.quantities.units import DIMENSIONS, format_quantity

__all__ = ["memory_remarks", "shortages"]


def memory_remarks(memory: Memory, device: str) -> list[str]:
    """What does not fit, or cannot be judged, memory by memory."""
    remarks = [f"does not fit: {text}" for text in shortages(memory)]
    if memory.planned is not None:
        if any(misfit.level == "l1" for misfit in memory.planned):
            remarks.append("layers without a tile that fits are priced with their smallest: no device can run this")
        return remarks
    for name, _, there in memory.stores:
        where = f"the {name}" if name else "the memory"
        what = "the weights fit" if name else "it fits"
        if there is None:
            remarks.append(f"no source gives {where} of {device}: whether {what} is not known")
    return remarks


def shortages(memory: Memory) -> list[str]:
    """What does not fit, memory by memory: how much is needed, how much is there, and the largest tensor."""
    if memory.planned is not None:
        return [str(misfit) for misfit in memory.planned]
    most = {misfit.level: misfit for misfit in memory.misfits}
    return [
        "{} needed{} per device, {} there".format(*_apart(used, f" in {name}" if name else "", there))
        + f"; the largest tensor is {most[name or 'main memory'].tensor}, at layer {most[name or 'main memory'].layer}"
        for name, used, there in memory.stores
        if there is not None and used > there
    ]


def _apart(used: Number, place: str, there: Number) -> tuple[str, str, str]:
    """Both amounts with as many digits as tell them apart, at least four."""
    for digits in range(4, 18):
        texts = [format_quantity(value, DIMENSIONS["capacity"], digits) for value in (used, there)]
        if texts[0] != texts[1]:
            break
    return texts[0], place, texts[1]
