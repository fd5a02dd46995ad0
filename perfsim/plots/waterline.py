"""The waterline: kernels as bars of traffic × operational intensity under the ridge point, and the same over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from perfsim.errors import InputError
from perfsim.plots.frame import CHARACTER, beside, legend_below, scale_of, small, titled, width_of
from perfsim.plots.kinds import group_colour, group_of, groups_in
from perfsim.plots.roofline_frame import short_names
from perfsim.plots.style import Look, figure_of, look_of, new_axes
from perfsim.prediction.prediction import Prediction
from perfsim.prediction.waterline import Waterline, WaterlineKernel, waterline_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SIZE", "VIEWS", "waterline", "waterline_data", "waterline_time"]

SIZE = (7.0, 3.6)
"""Size of one view [inch]."""

HIGHEST = 2.0
"""Height of the figure over the ridge point [1] where bars are higher: they go on above it, and say so."""

STRIP = 0.04
"""Height of the strip below the bars over that of the figure [1]: it shows the kind where a bar is too low to."""

SEPARATE = 3.0
"""Width from which on bars have a line between them [pt]."""

Plotted = Prediction | Sequence[Prediction]


def waterline_data(result: Plotted) -> dict[str, Any]:
    """What :func:`waterline` draws, in SI units; of several predictions, a list of such data under ``predictions``."""
    lines = _waterlines(result)
    if len(lines) == 1:
        return lines[0].to_dict()
    return {"predictions": [line.to_dict() for line in lines]}


def waterline(result: Plotted, *, ax: Axes | None = None) -> Axes:
    """Draw bytes × intensity: a kernel is a bar as wide as its traffic and as high as its operational intensity.

    A bar's area is its FLOPs. The line is the ridge point of the device; the water between a lower bar and the line is
    what the machine could have computed while the bar's bytes move, so that bars over bars and water is the attainable
    efficiency. Bars with a mark at the top go on above it. Of several predictions with one model
    the bars are those of the first, and every device has its line.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or a new one.

    Raises
    ------
    InputError
        for an empty list, or predictions of several models.

    References
    ----------
    .. [1] A. Lavin, "On the Efficiency of Convolutional Neural Networks", arXiv 2404.03617.
    """
    lines = _waterlines(result)
    first = lines[0]
    ax = new_axes(SIZE) if ax is None else ax
    look = look_of(ax)
    kernels = [kernel for kernel in first.kernels if kernel.traffic]
    scale = scale_of(first.traffic, "B")
    widths = [kernel.traffic / scale.factor for kernel in kernels]
    heights = [float(kernel.operational_intensity or 0.0) for kernel in kernels]
    ridges = [float(line.ridge_point) for line in lines]
    top = min(1.12 * max(*heights, *ridges), HIGHEST * max(ridges))
    ax.set(xlim=(0, sum(widths) or 1), ylim=(-STRIP * top, top))
    ax.set_xlabel(f"traffic of main memory, cumulated [{scale.unit}]")
    ax.set_ylabel("operational intensity [FLOP/byte]")
    title = f"{first.model}, {', '.join(dict.fromkeys(line.device for line in lines))}, {first.stack} stack"
    titled(ax, title, *_verdicts(lines), look=look, pad=_pad(kernels))
    legend_below(ax, _handles(first, kernels, look), look, _hidden(first))
    starts = _starts(widths)
    points = width_of(ax) / (sum(widths) or 1)
    edges = [0.5 if width * points > SEPARATE else 0.0 for width in widths]
    fills = [group_colour(group_of(kernel.kind), look) for kernel in kernels]
    ax.bar(starts, heights, widths, align="edge", color=fills, edgecolor=look.paper, linewidth=edges, label="_kernels")
    _strip(ax, starts, widths, fills, top, look)
    water = [max(ridges[0] - height, 0.0) for height in heights]
    ax.bar(starts, water, widths, bottom=heights, align="edge", color=look.water, linewidth=0, label="_water")
    names = short_names([line.device for line in lines]) if len(lines) > 1 else ["waterline"]
    for ridge in ridges:
        ax.axhline(ridge, color=look.deep, linewidth=1.2 if ridge == ridges[0] else 0.8, label="_ridge point")
    beside(ax, [(r, f"{n}\n{r:.3g} FLOP/B", look.deep) for n, r in zip(names, ridges, strict=True)])
    _continued(ax, starts, widths, heights, points, top, look)
    _named(ax, kernels, starts, widths, [min(height, top) for height in heights], points, top, look)
    _phases(ax, kernels, starts, sum(widths), look)
    return ax


def waterline_time(result: Plotted, *, ax: Axes | None = None) -> Axes:
    """Draw time × efficiency: a kernel is a column as wide as its predicted runtime and as high as the peak.

    The coloured part is arithmetic at the peak, the water above it waiting for memory at the full bandwidth, the
    hatched rest everything else: launches, kernels below their roofline, links and the host. All areas are times.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or a new one.

    Raises
    ------
    InputError
        for an empty list, or more than one prediction, whose times do not share an axis.
    """
    lines = _waterlines(result)
    if len(lines) > 1:
        raise InputError("waterline over time: one prediction at a time; draw each on axes of its own")
    (line,) = lines
    ax = new_axes(SIZE) if ax is None else ax
    look = look_of(ax)
    kernels = [kernel for kernel in line.kernels if kernel.runtime]
    scale = scale_of(line.runtime, "s")
    widths = [kernel.runtime / scale.factor for kernel in kernels]
    ax.set(xlim=(0, sum(widths)), ylim=(-STRIP * 100, 100))
    ax.set_xlabel(f"predicted time, cumulated [{scale.unit}]")
    ax.set_ylabel("share of the peak [%]")
    titled(ax, f"{line.model}, {line.device}, {line.stack} stack", *_verdicts(lines), look=look, pad=_pad(kernels))
    legend_below(ax, _handles(line, kernels, look, over_time=True), look)
    starts = _starts(widths)
    shares = [[100 * part for part in line.shares(kernel)] for kernel in kernels]
    points = width_of(ax) / sum(widths)
    edges = [0.5 if width * points > SEPARATE else 0.0 for width in widths]
    fills = [group_colour(group_of(kernel.kind), look) for kernel in kernels]
    compute, wait, rest = ([part[i] for part in shares] for i in range(3))
    ax.bar(starts, compute, widths, align="edge", color=fills, edgecolor=look.paper, linewidth=edges, label="_compute")
    ax.bar(starts, wait, widths, bottom=compute, align="edge", color=look.water, linewidth=0, label="_water")
    _strip(ax, starts, widths, fills, 100.0, look)
    tops = [a + b for a, b in zip(compute, wait, strict=True)]
    ax.bar(starts, rest, widths, bottom=tops, align="edge", color=look.loss, linewidth=0, label="_rest")
    _efficiencies(ax, line, look)
    _named(ax, kernels, starts, widths, compute, points, 100.0, look)
    _phases(ax, kernels, starts, sum(widths), look)
    return ax


VIEWS: Mapping[str, Any] = MappingProxyType({"traffic": waterline, "time": waterline_time})
"""View → function that draws it."""


def _waterlines(result: Plotted) -> list[Waterline]:
    items = list(result) if isinstance(result, list | tuple) else [result]
    if not items:
        raise InputError("waterline: an empty list, expected a prediction")
    for item in items:
        if not isinstance(item, Prediction):
            raise InputError(f"waterline: {type(item).__name__} given, expected a Prediction")
    lines = [waterline_of(item) for item in items]
    others = [line for line in lines if (line.model, line.job) != (lines[0].model, lines[0].job)]
    if others:
        raise InputError(
            f"waterline: {lines[0].model} ({lines[0].job}) and {others[0].model} ({others[0].job}) have different bars; "
            f"draw each on axes of its own"
        )
    return lines


def _strip(
    ax: Any, starts: Sequence[float], widths: Sequence[float], fills: Sequence[Any], top: float, look: Look
) -> None:
    """The kind of every kernel below its bar, and the line on which the bars stand."""
    height = [-0.75 * STRIP * top] * len(widths)
    bottom = [-0.25 * STRIP * top] * len(widths)
    ax.bar(starts, height, widths, bottom=bottom, align="edge", color=fills, linewidth=0, label="_strip")
    ax.axhline(0, color=look.ink, linewidth=0.6, label="_ground")


def _starts(widths: Sequence[float]) -> list[float]:
    starts, at = [], 0.0
    for width in widths:
        starts.append(at)
        at += width
    return starts


def _verdicts(lines: Sequence[Waterline]) -> list[str]:
    """Attainable efficiency beside the aggregate roofline, per device."""
    names = short_names([line.device for line in lines]) if len(lines) > 1 else [""]
    return [
        f"{name}{': ' if name else ''}attainable {_percent(line.attainable_efficiency)} of peak, "
        f"roofline of the aggregate {_percent(line.aggregate_efficiency)}"
        for name, line in zip(names, lines, strict=True)
    ]


def _percent(share: float) -> str:
    if share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.2g} %"


def _pad(kernels: Sequence[WaterlineKernel]) -> float:
    """Room below the title [pt]: names of phases go there."""
    return 6.0 if len({kernel.phase for kernel in kernels}) < 2 else 6.0 + small()


def _handles(
    line: Waterline, kernels: Sequence[WaterlineKernel], look: Look, *, over_time: bool = False
) -> list[Any]:
    from matplotlib.patches import Patch

    handles = []
    for group in groups_in(kernel.kind for kernel in kernels):
        some = [kernel for kernel in kernels if group_of(kernel.kind) == group]
        share = sum(k.runtime for k in some) / line.runtime if over_time else sum(k.traffic for k in some) / line.traffic
        of = "time" if over_time else "bytes"
        handles.append(Patch(facecolor=group_colour(group, look), label=f"{group}: {_percent(share)} of {of}"))
    if line.submerged_flops:
        share = line.submerged_flops / (line.submerged_flops + line.flops)
        text = "water: time waiting for memory" if over_time else f"water: {_percent(share)} of what could be computed"
        handles.append(Patch(facecolor=look.water, edgecolor=look.deep, linewidth=0.4, label=text))
    if over_time and any(line.shares(kernel)[2] > 0.005 for kernel in kernels):
        label = "launch, host, links, kernels below roofline"
        handles.append(Patch(facecolor=look.loss, edgecolor=look.faint, linewidth=0.4, label=label))
    return handles


def _hidden(line: Waterline) -> str | None:
    """What has no width in bytes × intensity."""
    some = [kernel for kernel in line.kernels if not kernel.traffic]
    parts = []
    work = sum(kernel.flops for kernel in some) / line.flops
    time = sum(kernel.runtime for kernel in some) / line.runtime if line.runtime else 0.0
    if work >= 0.0005:
        parts.append(f"{_percent(work)} of the FLOPs")
    if time >= 0.0005:
        parts.append(f"{_percent(time)} of the time")
    return f"without traffic, so without width: {', '.join(parts)}" if parts else None


def _efficiencies(ax: Any, line: Waterline, look: Look) -> None:
    """Level lines of the achieved, the attainable and the aggregate efficiency, named beside the axes."""
    values = [
        ("roofline of\naggregate", line.aggregate_efficiency, (0, (1, 1.5))),
        ("attainable", line.attainable_efficiency, (0, (5, 2))),
    ]
    if abs(line.achieved_efficiency / line.attainable_efficiency - 1) > 0.01:
        values.append(("predicted", line.achieved_efficiency, "-"))
    for name, value, style in values:
        ax.axhline(100 * value, color=look.ink, linewidth=0.9, linestyle=style, label=f"_{name}", zorder=4)
    beside(ax, [(100 * value, f"{name} {_percent(value)}", look.ink) for name, value, _ in values])


def _continued(
    ax: Any, starts: Sequence[float], widths: Sequence[float], heights: Sequence[float], points: float, top: float,
    look: Look,
) -> None:  # fmt: skip
    """A mark on bars that the top of the figure cuts; marks that would touch share one."""
    last = -10.0 / points
    for start, width, height in zip(starts, widths, heights, strict=True):
        middle = start + width / 2
        if height > top and (middle - last) * points >= 7.0:
            last = middle
            ax.plot([middle], [1.0], marker="^", markersize=3, color=look.ink, transform=ax.get_xaxis_transform(),
                    clip_on=False, label="_continued", zorder=6)  # fmt: skip


def _named(
    ax: Any, kernels: Sequence[WaterlineKernel], starts: Sequence[float], widths: Sequence[float],
    heights: Sequence[float], points: float, top: float, look: Look,
) -> None:  # fmt: skip
    """Names along the columns that are wide enough for a line of text, in the bar or above it, where they fit."""
    tall = ax.get_window_extent().height * 72 / figure_of(ax).dpi / (1 + STRIP) / top
    for kernel, start, width, height in zip(kernels, starts, widths, heights, strict=True):
        if width * points < 1.25 * small():
            continue
        text = kernel.name if kernel.count == 1 else f"{kernel.name} × {kernel.count}"
        length = len(text) * small() * CHARACTER + 4
        inside = height * tall >= length
        if not inside and (top - height) * tall < length:
            continue
        colour = look.over(group_colour(group_of(kernel.kind), look)) if inside else look.ink
        ax.annotate(
            text, (start + width / 2, 0.0 if inside else height), xytext=(0, 3), textcoords="offset points",
            rotation=90, ha="center", va="bottom", fontsize=small(), color=colour, zorder=5, label="_name",
        )  # fmt: skip


def _phases(ax: Any, kernels: Sequence[WaterlineKernel], starts: Sequence[float], end: float, look: Look) -> None:
    """Borders between phases, and their names above the axes where they are wide enough."""
    firsts = [i for i in range(len(kernels)) if i == 0 or kernels[i].phase != kernels[i - 1].phase]
    if len(firsts) < 2:
        return
    room = ax.get_window_extent().width * 72 / figure_of(ax).dpi / end
    for index, (left, right) in zip(firsts, pairwise([*(starts[i] for i in firsts), end]), strict=True):
        name = kernels[index].phase
        if left:
            ax.axvline(left, color=look.ink, linewidth=0.6, linestyle=(0, (2, 2)), label="_phase", zorder=4)
        if (right - left) * room > len(name) * small() * CHARACTER:
            ax.annotate(
                name, ((left + right) / 2, 1.0), xycoords=ax.get_xaxis_transform(), xytext=(0, 2), ha="center",
                textcoords="offset points", va="bottom", fontsize=small(), color=look.ink,
            )  # fmt: skip
