"""Accuracy against time per sample: which models no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perfsim.plots.efficiency_gap import (
    family_colours,
    labels,
    markers_of,
    remarks_of,
    scaled_axes,
    series_handles,
    where,
)
from perfsim.plots.frame import captioned, scale_of
from perfsim.plots.style import canvas, laid_out
from perfsim.prediction.gap import Results, gap_points_of_any, pareto_front

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SIZE", "pareto", "pareto_data"]

SIZE = (7.0, 4.2)
"""Size of a figure of its own [inch]."""


def pareto_data(result: Results) -> dict[str, Any]:
    """What :func:`pareto` draws: models with accuracy and time per sample [s], and the names of the front."""
    points = gap_points_of_any(result)
    front = [point.title for point in pareto_front(points)]
    return {"models": [point.to_dict() for point in points], "front": front, "remarks": remarks_of(points)}


def pareto(result: Results, *, ax: Axes | None = None) -> Axes:
    """Draw accuracy over the predicted time per sample; the line joins the models that no other beats in both.

    Where no accuracy is known, as of language models, their parameters take its place, and title and axis say so. For
    latency against throughput of one model, sweep its job and draw :func:`perfsim.plots.sweep_front`.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or a new one.

    Raises
    ------
    InputError
        for an empty list, or models of which only some have a known accuracy.
    """
    from matplotlib.lines import Line2D

    points = gap_points_of_any(result)
    front = pareto_front(points)
    ax, look = canvas(ax, SIZE)
    colours = family_colours(points, look)
    scale = scale_of(max(point.actual for point in points), "s")
    scaled_axes(ax, points, [point.actual for point in points], scale, look)
    markers, remarks = markers_of(points), remarks_of(points)
    what, better = ("parameters", "larger") if remarks else ("accuracy", "better")
    handles = series_handles(colours, markers, look)
    handles.append(Line2D([], [], color=look.ink, linewidth=1.0, label=f"no other is faster and {better}"))
    captioned(ax, look, f"{what} and time, {where(result)}", *remarks, handles=handles)
    corners = _corners([(point.actual / scale.factor, point.height) for point in front])
    ax.plot(*zip(*corners, strict=True), color=look.ink, linewidth=1.0, label="_front", zorder=2)
    for (family, setting), marker in markers.items():
        some = [point for point in points if (point.family, point.setting) == (family, setting)]
        ax.plot(
            [point.actual / scale.factor for point in some], [point.height for point in some], zorder=3, markersize=4,
            color=colours[family], label=f"_{family}", linestyle="none", marker=marker,
        )  # fmt: skip
    laid_out(ax)
    labels(ax, points, scale.factor, colours, look, lambda point: point.title, [corners])
    return ax


def _corners(spots: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The front as a staircase: a model is the best until the next one."""
    corners = [spots[0]]
    for x, y in spots[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    return corners
