"""Accuracy against time per sample: which models no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perfsim.plots.efficiency_gap import labels, scaled_axes, where
from perfsim.plots.frame import legend_below, scale_of, titled, width_of
from perfsim.plots.style import COLOURS, look_of, new_axes
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
    ax = new_axes(SIZE) if ax is None else ax
    look = look_of(ax)
    families = list(dict.fromkeys(point.family for point in points))
    colours = {family: look.shade(COLOURS[i % len(COLOURS)]) for i, family in enumerate(families)}
    scale = scale_of(max(point.actual for point in points), "s")
    scaled_axes(ax, points, [point.actual for point in points], scale, look)
    titled(ax, f"accuracy and time, {where(result)}", look=look)
    dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 4}
    handles = [Line2D([], [], color=colours[family], label=family, **dot) for family in families]
    handles.append(Line2D([], [], color=look.ink, linewidth=1.0, label="no other is faster and better"))
    legend_below(ax, handles, look)
    corners = _corners([(point.actual / scale.factor, point.height) for point in front])
    ax.plot(*zip(*corners, strict=True), color=look.ink, linewidth=1.0, label="_front", zorder=2)
    for family in families:
        some = [point for point in points if point.family == family]
        ax.plot(
            [point.actual / scale.factor for point in some], [point.height for point in some], zorder=3,
            color=colours[family], label=f"_{family}", **dot,
        )  # fmt: skip
    width_of(ax)
    labels(ax, points, scale.factor, colours, look, lambda point: point.title, [corners])
    return ax


def _corners(spots: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The front as a staircase: a model is the best until the next one."""
    corners = [spots[0]]
    for x, y in spots[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    return corners
