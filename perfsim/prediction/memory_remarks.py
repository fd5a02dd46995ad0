"""What a reader should know about the memory of a prediction."""

from __future__ import annotations

from perfsim.costs import Memory
from perfsim.quantities.numbers import Number
from perfsim.quantities.units import DIMENSIONS, format_quantity

__all__ = ["memory_remarks", "shortages"]


def memory_remarks(memory: Memory, device: str) -> list[str]:
    """What does not fit, with the largest tensor, or cannot be judged, memory by memory."""
    if memory.planned is not None:
        remarks = [f"does not fit: {text}" for text in shortages(memory)]
        if any(misfit.level == "l1" for misfit in memory.planned):
            remarks.append("layers without a tile that fits are priced with their smallest: no device can run this")
        return remarks
    most = {misfit.level: f"{misfit.tensor}, at layer {misfit.layer}" for misfit in memory.misfits}
    short = [name for name, used, there in memory.stores if there is not None and used > there]
    remarks = [
        f"does not fit: {text}; the largest tensor is {most[name or 'main memory']}"
        for name, text in zip(short, shortages(memory), strict=True)
    ]
    for name, _, there in memory.stores:
        where = f"the {name}" if name else "the memory"
        what = "the weights fit" if name else "it fits"
        if there is None:
            remarks.append(f"no source gives {where} of {device}: whether {what} is not known")
    return remarks


def shortages(memory: Memory) -> list[str]:
    """What does not fit, memory by memory: how much is needed and how much is there."""
    if memory.planned is not None:
        return [str(misfit) for misfit in memory.planned]
    return [
        "{} needed{} per device, {} there".format(*_apart(used, f" in {name}" if name else "", there))
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
