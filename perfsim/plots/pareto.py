"""Accuracy against time per sample: which models no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perfsim.plots.efficiency_gap import family_colours, labels, scaled_axes, where
from perfsim.plots.frame import captioned, scale_of
from perfsim.plots.style import canvas, laid_out
from perfsim.prediction.gap import Results, gap_points, pareto_front

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SIZE", "pareto", "pareto_data"]

SIZE = (7.0, 4.2)
"""Size of a figure of its own [inch]."""


def pareto_data(result: Results) -> dict[str, Any]:
    """What :func:`pareto` draws: models with accuracy and time per sample [s], and the names of the front."""
    points = gap_points(result)
    return {"models": [point.to_dict() for point in points], "front": [point.title for point in pareto_front(points)]}


def pareto(result: Results, *, ax: Axes | None = None) -> Axes:
    """Draw accuracy over the predicted time per sample; the line joins the models that no other beats in both.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or a new one.

    Raises
    ------
    InputError
        for an empty list, or a model whose accuracy is not known.
    """
    from matplotlib.lines import Line2D

    points = gap_points(result)
    front = pareto_front(points)
    ax, look = canvas(ax, SIZE)
    colours = family_colours(points, look)
    scale = scale_of(max(point.actual for point in points), "s")
    scaled_axes(ax, points, [point.actual for point in points], scale, look)
    dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 4}
    handles = [Line2D([], [], color=colour, label=family, **dot) for family, colour in colours.items()]
    handles.append(Line2D([], [], color=look.ink, linewidth=1.0, label="no other is faster and better"))
    captioned(ax, look, f"accuracy and time, {where(result)}", handles=handles)
    corners = _corners([(point.actual / scale.factor, point.height) for point in front])
    ax.plot(*zip(*corners, strict=True), color=look.ink, linewidth=1.0, label="_front", zorder=2)
    for family, colour in colours.items():
        some = [point for point in points if point.family == family]
        ax.plot(
            [point.actual / scale.factor for point in some], [point.height for point in some], zorder=3,
            color=colour, label=f"_{family}", **dot,
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
