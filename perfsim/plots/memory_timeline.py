"""Memory of a device over the time of a prediction, under its capacity."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from perfsim.errors import InputError
from perfsim.plots.frame import CHARACTER, beside, captioned, percent, phase_borders, room_above, scale_of, small
from perfsim.plots.style import COLOURS, Look, canvas, extent_of, laid_out
from perfsim.prediction.prediction import Prediction
from perfsim.prediction.timeline import MemoryTimeline, Moment, memory_timeline_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SIZE", "memory_timeline", "memory_timeline_data"]

SIZE = (7.0, 3.5)
"""Size of a figure of its own [inch]."""

_COLOUR: Mapping[str, int] = MappingProxyType(
    {
        "weights": 0, "gradients": 6, "optimizer_states": 7, "kv_cache": 2, "saved_activations": 5, "activations": 4,
        "workspace": 3,
    }
)  # fmt: skip
"""Colour of each part of the memory."""

_LABEL: Mapping[str, str] = MappingProxyType(
    {"kv_cache": "KV cache", "saved_activations": "activations saved for backward", "activations": "living activations"}
)
"""Names of parts that are not their own."""

ROOM = 1.15
"""Height of the figure over the highest line [1]."""

ALIKE = 0.005
"""Relative difference below which two amounts of memory are the same to a reader."""

NEAR = 4.0
"""Capacity over the largest need [1] up to which its line is in the figure; else a note says how far up it is."""


def memory_timeline_data(result: Prediction) -> dict[str, Any]:
    """What :func:`memory_timeline` draws, in SI units."""
    return _timeline(result).to_dict()


def memory_timeline(result: Prediction, *, ax: Axes | None = None) -> Axes:
    """Draw what fills the memory of the fullest device over time: stored parts below, living activations on top.

    The dashed line is the capacity, or a note where it is far above; the mark is the fullest moment.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or a new one.
    """
    line = _timeline(result)
    ax, look = canvas(ax, SIZE)
    end = line.moments[-1].end
    time, size = scale_of(end, "s"), scale_of(line.reserved, "B")
    shown = line.capacity is not None and line.capacity <= NEAR * line.reserved
    top = ROOM * max(float(line.peak.total), float(line.capacity or 0) if shown else 0.0) / size.factor
    ax.set(xlim=(0, end / time.factor), ylim=(0, top))
    ax.set_xlabel(f"predicted time [{time.unit}]")
    ax.set_ylabel(f"memory per device [{size.unit}]")
    title, pad = f"{line.model}, {line.device}, {line.stack} stack", room_above(moment.phase for moment in line.moments)
    lines, handles = (title, result.job.words, _verdict(line)), _handles(line, look)
    captioned(ax, look, *lines, handles=handles, note=_reserved(line), pad=pad)
    laid_out(ax)
    edges = [moment.start / time.factor for moment in line.moments] + [end / time.factor]
    below = [0.0] * len(line.moments)
    for part in line.parts:
        above = [b + m.parts[part] / size.factor for b, m in zip(below, line.moments, strict=True)]
        ax.stairs(above, edges, baseline=below, fill=True, linewidth=0, label=f"_{part}",
                  color=look.shade(COLOURS[_COLOUR[part]]))  # fmt: skip
        below = above
    phase_borders(ax, [(m.phase, m.start / time.factor) for m in line.moments], end / time.factor, look)
    _capacity(ax, line, size, shown, look)
    _peak(ax, line.peak, (time.factor, size.factor), look)
    return ax


def _timeline(result: Prediction) -> MemoryTimeline:
    if not isinstance(result, Prediction):
        raise InputError(f"memory timeline: {type(result).__name__} given, expected a Prediction")
    return memory_timeline_of(result)


def _verdict(line: MemoryTimeline) -> str:
    total = line.peak.total
    unit = scale_of(total, "B")
    need = f"at most {total / unit.factor:.3g} {unit.unit}"
    if line.capacity is None:
        return f"{need}; no source gives the capacity"
    there = scale_of(line.capacity, "B")
    text = f"{line.capacity / there.factor:.3g} {there.unit}"
    fits = total <= line.capacity
    return f"{need} of {text}, {percent(total / line.capacity)}" if fits else f"does not fit: {need}, {text} there"


def _reserved(line: MemoryTimeline) -> str | None:
    """What a prediction says is needed, where its parts are at their largest at different times."""
    if line.reserved < (1 + ALIKE) * line.peak.total:
        return None
    unit = scale_of(line.reserved, "B")
    return f"every part at its largest, as a prediction counts: {line.reserved / unit.factor:.3g} {unit.unit}"


def _handles(line: MemoryTimeline, look: Look) -> list[Any]:
    from matplotlib.patches import Patch

    return [
        Patch(facecolor=look.shade(COLOURS[_COLOUR[part]]), label=_LABEL.get(part, part.replace("_", " ")))
        for part in line.parts
    ]


def _capacity(ax: Any, line: MemoryTimeline, size: Any, shown: bool, look: Look) -> None:
    if line.capacity is None or not shown:
        return
    height = float(line.capacity) / size.factor
    ax.axhline(height, color=look.ink, linewidth=1.1, linestyle=(0, (5, 2)), label="_capacity")
    beside(ax, [(height, f"capacity\n{height:.3g} {size.unit}", look.ink)])


def _peak(ax: Any, peak: Moment, factors: tuple[float, float], look: Look) -> None:
    """A mark on the fullest moment, and above it its name, both within the axes."""
    x, y = (peak.start + peak.end) / 2 / factors[0], float(peak.total) / factors[1]
    wide, tall = extent_of(ax)
    text, above = f"fullest: {peak.phase}, {peak.name}", min((2.2 * small() + 3) / tall, 0.5)
    ax.set_ylim(top=max(ax.get_ylim()[1], y / (1 - above)))
    ax.plot([x], [y], marker="v", markersize=4, color=look.ink, label="_peak", zorder=6, clip_on=False)
    at = x / ax.get_xlim()[1] * wide
    shift = max(min(5.0, wide - at - (len(text) + 1) * small() * CHARACTER), 3 - at)
    ax.annotate(
        text, (x, y), xytext=(shift, 4), textcoords="offset points", fontsize=small(), color=look.ink, ha="left",
        va="bottom", zorder=6,
    )  # fmt: skip
