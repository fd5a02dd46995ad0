"""The efficiency gap: ideal and actual latency of models against their accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import log10
from typing import TYPE_CHECKING, Any

from perfsim.plots.frame import CHARACTER, captioned, scale_of, small
from perfsim.plots.labels import Box, leader, place
from perfsim.plots.style import COLOURS, Look, canvas, extent_of, figure_of, laid_out
from perfsim.prediction.gap import GapPoint, Rated, Results, gap_points_of_any, listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "SIZE", "efficiency_gap", "efficiency_gap_data", "family_colours", "labels", "markers_of", "remarks_of",
    "scaled_axes", "series_handles", "where",
]  # fmt: skip

SIZE = (7.0, 4.2)
"""Size of a figure of its own [inch]."""

WITHOUT = "no accuracy is known: the models stand at their parameters"

EDGE = 4.0
"""Least distance of a label from the edge of the axes [pt]."""

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
"""Markers of families, or of settings where there are several."""


def efficiency_gap_data(result: Results) -> dict[str, Any]:
    """What :func:`efficiency_gap` draws: models with family, accuracy and its source, ideal and actual time [s]."""
    points = gap_points_of_any(result)
    return {"models": [point.to_dict() for point in points], "remarks": remarks_of(points)}


def remarks_of(points: Sequence[GapPoint]) -> list[str]:
    """What a reader must know about the heights of the points."""
    return [WITHOUT] if any(point.accuracy is None for point in points) else []


def efficiency_gap(result: Results, *, ax: Axes | None = None) -> Axes:
    """Draw accuracy over time per sample: hollow is the ideal latency, filled the predicted one.

    The line between the two of a model is its gap, one over the computational efficiency, on a logarithmic axis; the
    dashed and the solid line of a family in one setting are its ideal and its actual curve; where devices, stacks or
    jobs differ, the marker tells them apart. Accuracies are those declared by
    :class:`~perfsim.prediction.gap.Rated`, else those of the bundled table. Where none is known, as of language models,
    the models stand at their parameters instead, and the title says so. ``result`` is a list of predictions, or one.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or a new one.

    Raises
    ------
    InputError
        for an empty list, or models of which only some have a known accuracy.

    References
    ----------
    .. [1] A. Lavin, "On the Efficiency of Convolutional Neural Networks", arXiv 2404.03617.
    """
    points = gap_points_of_any(result)
    ax, look = canvas(ax, SIZE)
    colours = family_colours(points, look)
    markers = markers_of(points)
    scale = scale_of(max(point.actual for point in points), "s")
    scaled_axes(ax, points, [time for p in points for time in (p.ideal, p.actual)], scale, look)
    handles = [*series_handles(colours, markers, look, linewidth=1.2), *_handles(look)]
    captioned(ax, look, f"efficiency gap, {where(result)}", *remarks_of(points), handles=handles)
    for family, setting in _series(points):
        some = [p for p in points if (p.family, p.setting) == (family, setting)]
        _family(ax, some, scale.factor, colours[family], markers[family, setting])
    laid_out(ax)
    labels(ax, points, scale.factor, colours, look, _text, _curves(points, scale.factor))
    return ax


def family_colours(points: Sequence[GapPoint], look: Look) -> dict[str, Any]:
    """Colour of each family of models, in the order of the points."""
    families = dict.fromkeys(point.family for point in points)
    return {family: look.shade(COLOURS[i % len(COLOURS)]) for i, family in enumerate(families)}


def _series(points: Sequence[GapPoint]) -> list[tuple[str, str]]:
    """Family and setting of points that one line joins."""
    return list(dict.fromkeys((point.family, point.setting) for point in points))


def markers_of(points: Sequence[GapPoint]) -> dict[tuple[str, str], str]:
    """Marker by family and setting: of the setting if there are several, else of the family."""
    settings, families = (list(dict.fromkeys(getattr(p, name) for p in points)) for name in ("setting", "family"))
    orders = [families.index(f) if len(settings) == 1 else settings.index(s) for f, s in _series(points)]
    return {each: _MARKERS[i % len(_MARKERS)] for each, i in zip(_series(points), orders, strict=True)}


def series_handles(
    colours: dict[str, Any], markers: dict[tuple[str, str], str], look: Look, linewidth: float = 0.0
) -> list[Any]:
    """Legend of the families and, where there are several, of the settings."""
    from matplotlib.lines import Line2D

    settings = dict.fromkeys(setting for _, setting in markers)
    several = len(settings) > 1
    rows = [(f, c, "" if several else next(m for (g, _), m in markers.items() if g == f)) for f, c in colours.items()]
    if several:
        rows += [(s, look.faint, next(m for (_, t), m in markers.items() if s == t)) for s in settings]
    width = {True: max(linewidth, 2.0), False: linewidth}
    return [
        Line2D([], [], color=c, marker=m or "none", linewidth=width[not m] if c != look.faint else 0.0, markersize=4,
               label=label)
        for label, c, m in rows
    ]  # fmt: skip


def scaled_axes(ax: Any, points: Sequence[GapPoint], times: Sequence[float], scale: Any, look: Look) -> None:
    """Logarithmic time, and linear accuracy or logarithmic parameters, with room for labels."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = min(times), max(times)
    ax.set(xscale="log", xlim=(low / scale.factor / 1.5, high / scale.factor * 2.2))
    _scaled_heights(ax, points)
    batches, samples = ({getattr(point, name) for point in points} for name in ("batch", "sample"))
    sample = samples.pop() if len(samples) == 1 else "sample"
    word = f"over {max(batches)} {sample}s" if sample == "token" else f"batch {max(batches)}"
    of = word if len(batches) == 1 else "batches differ"
    decades = log10(high / low)
    subs = (1.0,) if decades > 2.5 else (1.0, 3.0) if decades > 1.2 else (1.0, 2.0, 5.0)
    ax.xaxis.set_major_locator(LogLocator(base=10, subs=subs, numticks=30))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(f"time per {'token' if sample == 'token' else 'sample'} [{scale.unit}], {of}")
    ax.grid(visible=True, color=look.faint, alpha=0.2, linewidth=0.5)
    ax.set_axisbelow(True)


def _scaled_heights(ax: Any, points: Sequence[GapPoint]) -> None:
    """Linear accuracy, or logarithmic parameters where there is none."""
    from matplotlib.ticker import EngFormatter, NullFormatter

    low, high = (pick(point.height for point in points) for pick in (min, max))
    if remarks_of(points):
        ax.set(yscale="log", ylim=(low / 1.5, high * 1.5), ylabel="parameters, for want of an accuracy")
        ax.yaxis.set_major_formatter(EngFormatter())
        ax.yaxis.set_minor_formatter(NullFormatter() if high > 10 * low else EngFormatter())
        return
    room = max(0.12 * (high - low), 0.5)
    ax.set(ylim=(low - room, high + room), ylabel="top-1 accuracy [%]")


def where(result: Results) -> str:
    """Devices and stacks of the predictions."""
    items = [item.prediction if isinstance(item, Rated) else item for item in listed(result)]
    devices, stacks = (list(dict.fromkeys(names)) for names in (
        [p.system.device.key for p in items], [f"{p.stack.key} stack" for p in items]
    ))  # fmt: skip
    return ", ".join([*devices, *stacks])


def _handles(look: Look) -> list[Any]:
    """Legend of hollow and filled points."""
    from matplotlib.lines import Line2D

    dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 4, "color": look.faint}
    return [
        Line2D([], [], markerfacecolor="none", label="hollow: ideal, work at the peak", **dot),
        Line2D([], [], label="filled: predicted", **dot),
    ]


def _family(ax: Any, points: Sequence[GapPoint], factor: float, colour: Any, marker: str) -> None:
    order = sorted(points, key=lambda point: point.height)
    heights = [point.height for point in order]
    for name, style, fill in (("ideal", (0, (4, 2)), "none"), ("actual", "-", colour)):
        values = [getattr(point, name) / factor for point in order]
        ax.plot(
            values, heights, color=colour, linestyle=style, linewidth=1.0, marker=marker, markersize=4,
            markerfacecolor=fill, label=f"_{points[0].family} {name}", zorder=3,
        )  # fmt: skip
    for point, height in zip(order, heights, strict=True):
        ax.plot([point.ideal / factor, point.actual / factor], [height] * 2, color=colour, linewidth=2.5, alpha=0.3,
                solid_capstyle="butt", label="_gap", zorder=2)  # fmt: skip


def labels(
    ax: Any, points: Sequence[GapPoint], factor: float, colours: dict[str, Any], look: Look,
    text_of: Callable[[GapPoint], str], curves: Sequence[Sequence[tuple[float, float]]],
) -> None:  # fmt: skip
    """A text near the actual point of every model, clear of points and of each other, over few of the curves."""
    dpi = figure_of(ax).dpi / 72
    origin = ax.transAxes.transform((0, 0))

    def at(x: float, y: float) -> tuple[float, float]:
        spot = (ax.transData.transform((x, y)) - origin) / dpi
        return float(spot[0]), float(spot[1])

    size = small()
    width, height = extent_of(ax)
    room = Box(EDGE, EDGE, width - EDGE, height - EDGE)
    actual = [(p.actual / factor, p.height) for p in points]
    spots = [at(*spot) for curve in [*curves, actual] for spot in curve]
    taken = [Box(x - 3, y - 3, x + 3, y + 3) for x, y in spots]
    lines, leaders = _sampled(curves, at), list[list[Box]]()
    for point in sorted(points, key=lambda p: -p.height):
        anchor = at(point.actual / factor, point.height)
        text = text_of(point)
        extent = (len(text) * size * CHARACTER, size * 1.15)
        box, far = place(anchor, extent, 4.0, taken, room, lambda b: _covered(b, lines), spots[-len(points) :],
                         leaders)  # fmt: skip
        taken.append(box)
        leaders += [leader(anchor, box)] if far else []
        shift = ((box.left + box.right) / 2 - anchor[0], (box.bottom + box.top) / 2 - anchor[1])
        ax.annotate(
            text, (point.actual / factor, point.height), xytext=shift, textcoords="offset points",
            fontsize=size, ha="center", va="center", color=look.ink, zorder=6, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": colours[point.family]} if far else None,
        )  # fmt: skip


def _text(point: GapPoint) -> str:
    """What tells the model apart, and the gap."""
    digits = 2 if point.gap < 2 else 1 if point.gap < 10 else 0
    return f"{point.title} ×{point.gap:.{digits}f}"


def _curves(points: Sequence[GapPoint], factor: float) -> list[list[tuple[float, float]]]:
    """Corners of every line of the figure: the gaps of models, the curves of families."""
    curves = [[(getattr(p, name) / factor, p.height) for name in ("ideal", "actual")] for p in points]
    for each in _series(points):
        order = sorted((p for p in points if (p.family, p.setting) == each), key=lambda p: p.height)
        curves += [[(getattr(p, name) / factor, p.height) for p in order] for name in ("ideal", "actual")]
    return curves


def _sampled(curves: Sequence[Sequence[tuple[float, float]]], at: Any) -> list[list[tuple[float, float]]]:
    """Spots along every piece of some lines [pt]."""
    ends = [(at(*start), at(*end)) for curve in curves for start, end in pairwise(curve)]
    steps = [i / 24 for i in range(25)]
    return [[(a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])) for t in steps] for a, b in ends]


def _covered(box: Box, lines: Sequence[Sequence[tuple[float, float]]]) -> int:
    """Lines that a label would cover."""
    return sum(any(box.left < x < box.right and box.bottom < y < box.top for x, y in spots) for spots in lines)
