"""What both views of the waterline share: columns side by side, their names, and what the legend says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from perfsim.errors import InputError
from perfsim.plots.frame import CHARACTER, captioned, percent, phase_borders, room_above, small, width_of
from perfsim.plots.kinds import group_colour, group_of, groups_in
from perfsim.plots.roofline_frame import short_names
from perfsim.plots.style import Look, extent_of
from perfsim.prediction.prediction import Prediction
from perfsim.prediction.rows import OperatorRow
from perfsim.prediction.waterline import Waterline, waterline_of

__all__ = ["STRIP", "Columns", "Plotted", "columns_of", "described", "handles", "headed", "waterlines"]

STRIP = 0.04
"""Height of the strip below the bars over that of the figure [1]: it shows the kind where a bar is too low to."""

SEPARATE = 3.0
"""Width from which on bars have a line between them [pt]."""

Plotted = Prediction | Sequence[Prediction]


@dataclass(frozen=True)
class Columns:
    """Kernels side by side: left edges and widths in data units, points per unit [pt], colours, lines around them."""

    kernels: Sequence[OperatorRow]
    starts: Sequence[float]
    widths: Sequence[float]
    points: float
    fills: Sequence[Any]
    edges: Sequence[float]

    def bars(self, ax: Any, heights: Sequence[float], bottoms: Sequence[float], name: str, **style: Any) -> None:
        """A bar per column. Narrow ones are not rounded to whole pixels, which would let some of them vanish."""
        drawn = ax.bar(
            self.starts, heights, self.widths, bottom=bottoms, align="edge", label=f"_{name}",
            **{"linewidth": 0.0, **style},
        )  # fmt: skip
        for bar, edge in zip(drawn, self.edges, strict=True):
            bar.set_snap(edge > 0)

    @property
    def end(self) -> float:
        """Right edge of the last column."""
        return self.starts[-1] + self.widths[-1]


def columns_of(ax: Any, kernels: Sequence[OperatorRow], widths: Sequence[float], look: Look) -> Columns:
    """Columns for the axes as they are laid out now."""
    starts, at = [], 0.0
    for width in widths:
        starts.append(at)
        at += width
    points = width_of(ax) / at
    fills = [group_colour(group_of(kernel.kind), look) for kernel in kernels]
    return Columns(kernels, starts, widths, points, fills, [0.5 if w * points > SEPARATE else 0.0 for w in widths])


def waterlines(result: Plotted) -> list[Waterline]:
    """The waterlines of one model, on one or several devices.

    Raises
    ------
    InputError
        for an empty list, anything but predictions, or predictions of different models or jobs.
    """
    items: list[Any] = list(result) if isinstance(result, list | tuple) else [result]
    if not items:
        raise InputError("waterline: an empty list, expected a prediction")
    for item in items:
        if not isinstance(item, Prediction):
            raise InputError(f"waterline: {type(item).__name__} given, expected a Prediction")
    lines = [waterline_of(item) for item in items]
    first = lines[0]
    for line in lines:
        if (line.model, line.job) != (first.model, first.job):
            raise InputError(
                f"waterline: {first.model} ({first.job}) and {line.model} ({line.job}) have different bars; draw each "
                f"on axes of its own"
            )
    return lines


def headed(
    ax: Any, lines: Sequence[Waterline], kernels: Sequence[OperatorRow], legend: Sequence[Any], look: Look,
    note: str | None = None,
) -> None:  # fmt: skip
    """Model, devices and stack above the axes with the efficiency that is attainable, the legend below them."""
    places = ", ".join(dict.fromkeys(_place(line) for line in lines))
    title, pad = f"{lines[0].model}, {places}, {lines[0].stack} stack", room_above(kernel.phase for kernel in kernels)
    captioned(ax, look, title, lines[0].job, *_verdicts(lines), handles=legend, note=note, pad=pad)


def _place(line: Waterline) -> str:
    """The devices in a title."""
    return f"{line.devices} × {line.device}" if line.devices > 1 else line.device


def _verdicts(lines: Sequence[Waterline]) -> list[str]:
    """Attainable efficiency beside the aggregate roofline, per device."""
    names = [f"{name}: " for name in short_names([line.device for line in lines])] if len(lines) > 1 else [""]
    return [
        f"{name}attainable {percent(line.attainable_efficiency)} of peak, "
        f"roofline of the aggregate {percent(line.aggregate_efficiency)}"
        for name, line in zip(names, lines, strict=True)
    ]


def handles(kernels: Sequence[OperatorRow], field: str, of: str, look: Look) -> list[Any]:
    """Legend of the kinds, with their share of a field of the kernels."""
    from matplotlib.patches import Patch

    total = sum(getattr(kernel, field) for kernel in kernels)
    sums: dict[str, float] = {}
    for kernel in kernels:
        group = group_of(kernel.kind)
        sums[group] = sums.get(group, 0.0) + getattr(kernel, field) / total
    groups = groups_in(kernel.kind for kernel in kernels)
    return [Patch(facecolor=group_colour(g, look), label=f"{g}: {percent(sums[g])} of {of}") for g in groups]


def _strip(ax: Any, columns: Columns, top: float, look: Look) -> None:
    """The kind of every kernel below its bar, and the line on which the bars stand."""
    height = [-0.75 * STRIP * top] * len(columns.widths)
    bottom = [-0.25 * STRIP * top] * len(columns.widths)
    columns.bars(ax, height, bottom, "strip", color=columns.fills)
    ax.axhline(0, color=look.ink, linewidth=0.6, label="_ground")


def described(ax: Any, columns: Columns, heights: Sequence[float], top: float, look: Look) -> None:
    """What the columns are: kinds in a strip below them, names along them where they fit, and borders of the phases."""
    _strip(ax, columns, top, look)
    _names(ax, columns, heights, top, look)
    spans = [(kernel.phase, start) for kernel, start in zip(columns.kernels, columns.starts, strict=True)]
    phase_borders(ax, spans, columns.end, look)


def _names(ax: Any, columns: Columns, heights: Sequence[float], top: float, look: Look) -> None:
    """Names along the columns that are wide enough for a line of text: in the bar, above it, or across both."""
    from matplotlib.patheffects import withStroke

    tall = extent_of(ax)[1] / (1 + STRIP) / top
    for i, kernel in enumerate(columns.kernels):
        if columns.widths[i] * columns.points < 1.25 * small():
            continue
        text = kernel.name if kernel.count == 1 else f"{kernel.name} × {kernel.count}"
        length = len(text) * small() * CHARACTER + 4
        inside = heights[i] * tall >= length
        across = not inside and (top - heights[i]) * tall < length
        if across and top * tall < length:
            continue
        ax.annotate(
            text, (columns.starts[i] + columns.widths[i] / 2, 0.0 if inside or across else heights[i]), xytext=(0, 3),
            textcoords="offset points", rotation=90, ha="center", va="bottom", fontsize=small(), label="_name",
            color=look.over(columns.fills[i]) if inside else look.ink, zorder=5,
            path_effects=[withStroke(linewidth=2, foreground=look.paper)] if across else None,
        )  # fmt: skip
