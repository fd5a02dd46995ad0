"""What a roofline figure shows where: limits of the axes, names of levels, ceilings that are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import log10
from typing import TYPE_CHECKING, Any

from perfsim.plots.style import extent_of, laid_out
from perfsim.quantities.units import DIMENSIONS, format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "CHARACTER",
    "LINE",
    "SMALL",
    "Frame",
    "drawn_ceilings",
    "fastest",
    "level_text",
    "named_levels",
    "prefix",
    "settled_frame",
    "short_names",
]

SMALL = 7.0
"""Font size of labels [pt]."""

CHARACTER, LINE = 0.58, 1.3
"""Mean width of a character and height of a line over the font size."""

LEAST_SCALE = 12.0
"""Points per decade below which no label is readable anyway."""


@dataclass(frozen=True)
class Frame:
    """Decades that the axes show, and points per decade; lanes: rows of level labels side by side."""

    x0: float
    x1: float
    y0: float
    y1: float
    scale: float
    lane: float
    lanes: Mapping[tuple[int, str], int]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Place of a point in pt from the lower left corner."""
        return (log10(x) - self.x0) * self.scale, (log10(y) - self.y0) * self.scale


def settled_frame(ax: Axes, data: dict[str, Any]) -> Frame:
    """The frame for the room that legend and labels leave; the axes get its limits."""
    scale = 90.0
    for _ in range(3):
        frame = _frame(data, scale)
        ax.set(xlim=(10**frame.x0, 10**frame.x1), ylim=(10**frame.y0, 10**frame.y1))
        laid_out(ax)
        ax.apply_aspect()
        scale = max(extent_of(ax)[0] / (frame.x1 - frame.x0), LEAST_SCALE)
    return replace(frame, scale=scale)


def _frame(data: dict[str, Any], scale: float) -> Frame:
    devices, kernels = data["devices"], data["kernels"]
    levels = named_levels(data)
    mains = [next(lv["bandwidth"] for lv in device["levels"] if lv["main"]) for device in devices]
    peaks = drawn_ceilings(data)
    ridges = [c["peak"] / mains[i] for i, c in peaks] + [c["peak"] / fastest(devices[i]) for i, c in peaks]
    tops = [device["ceilings"][0]["peak"] for device in devices]
    lanes = _lanes(levels, 1.9 * SMALL / scale)
    longest = max(len(level_text(devices, i, level)) for i, level in levels) * SMALL * CHARACTER
    lane = (0.72 * longest + 8) / scale
    x = [row["operational_intensity"] for row in kernels] or [min(ridges) / 2]
    first = min(log10(min(x)), log10(min(ridges))) - 0.3
    x0 = first - lane * (max(lanes.values()) + 1)
    x1 = max(log10(max([*x, *ridges])) + 0.6, x0 + 2)
    y1 = log10(max(tops)) + 0.25
    y0 = (
        min([log10(bw) + x0 for bw in mains] + [log10(row["performance"]) - 0.35 for row in kernels]) - 0.1 - 16 / scale
    )
    return Frame(x0, x1, y0, y1, scale, lane, lanes)


def named_levels(data: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """Levels whose name stands along their line; where there is no room for all, those of main memory."""
    levels = [(i, level) for i, device in enumerate(data["devices"]) for level in device["levels"]]
    if len(data["devices"]) == 1 or (not data["kernels"] and max(_lanes(levels, 0.19).values()) == 0):
        return levels
    return [(i, level) for i, level in levels if level["main"]]


def fastest(device: dict[str, Any]) -> float:
    """Highest bandwidth of a device's levels [byte/s]."""
    return max(float(level["bandwidth"]) for level in device["levels"])


def drawn_ceilings(data: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """All of a single device or of devices alone; of several devices under kernels those that are used."""
    ceilings = [(i, ceiling) for i, device in enumerate(data["devices"]) for ceiling in device["ceilings"]]
    if len(data["devices"]) == 1 or not data["kernels"]:
        return ceilings
    return [(i, ceiling) for i, ceiling in ceilings if ceiling["used"]]


def _lanes(levels: list[tuple[int, dict[str, Any]]], gap: float) -> dict[tuple[int, str], int]:
    """Lane of each level's label: neighbours that are closer than ``gap`` decades stand side by side.

    Of several devices the slowest level has its name below its line, out of the way of all others.
    """
    ends: list[float] = []
    lanes = {}
    order = sorted(levels, key=lambda pair: pair[1]["bandwidth"])
    if len({index for index, _ in levels}) > 1:
        index, level = order.pop(0)
        lanes[index, level["name"]] = 0
    for index, level in order:
        at = log10(level["bandwidth"])
        lane = next((i for i, end in enumerate(ends) if at - end >= gap), len(ends))
        ends[lane:] = [at] if lane == len(ends) else [at, *ends[lane + 1 :]]
        lanes[index, level["name"]] = lane
    return lanes


def short_names(names: list[str]) -> list[str]:
    """The fewest leading parts of each name that tell it from all others and hold a digit: ``h100``, ``rtx-3090``."""
    result = []
    for name in names:
        parts = name.split("-")
        starts = ("-".join(parts[:n]) for n in range(1, len(parts) + 1))
        clear = (s for s in starts if any(c.isdigit() for c in s) and sum(o.startswith(s) for o in names) == 1)
        result.append(next(clear, name))
    return result


def prefix(devices: list[dict[str, Any]], index: int) -> str:
    """Short name of a device before a label, where there are several."""
    return "" if len(devices) == 1 else short_names([d["name"] for d in devices])[index] + " "


def level_text(devices: list[dict[str, Any]], index: int, level: dict[str, Any]) -> str:
    """Name of a level along its line."""
    return f"{prefix(devices, index)}{level['name']} {format_quantity(level['bandwidth'], DIMENSIONS['bandwidth'])}"
