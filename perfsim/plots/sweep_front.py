"""All points of a sweep over two metrics, and the ones that no other beats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perfsim.plots.frame import captioned
from perfsim.plots.style import COLOURS, canvas
from perfsim.plots.sweep_frame import heading, short, spaced, variable
from perfsim.sweeps.metrics import METRICS
from perfsim.sweeps.pareto import pareto

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

__all__ = ["SIZE", "sweep_front", "sweep_front_data"]

SIZE = (6.0, 4.0)
"""Size of a figure of its own [inch]."""


def sweep_front_data(result: xarray.Dataset, x: str, y: str) -> dict[str, Any]:
    """What :func:`sweep_front` draws: both metrics of all points that fit, and of the front, by rising ``x``.

    Raises
    ------
    UnknownNameError, InputError
        for a metric that is not there.
    """
    import numpy as np

    columns = [np.ravel(variable(result, name).transpose(*result.dims).values) for name in (x, y)]
    fits = (
        np.ravel(result["fits"].transpose(*result.dims).values) if "fits" in result else np.ones(len(columns[0]), bool)
    )
    best = pareto(result, x, y)
    order = np.argsort(best[x].values)
    return {
        "points": {name: values[fits].tolist() for name, values in zip((x, y), columns, strict=True)},
        "front": {name: best[name].values[order].tolist() for name in (x, y)},
    }


def sweep_front(result: xarray.Dataset, x: str, y: str, *, ax: Axes | None = None) -> Axes:
    """Draw two metrics of all points that fit; the line joins those that no other beats in both.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or a new one.

    Raises
    ------
    UnknownNameError, InputError
        as :func:`sweep_front_data`.
    """
    import numpy as np

    data = sweep_front_data(result, x, y)
    ax, look = canvas(ax, SIZE)
    scales = []
    for name, put in ((x, ax.set_xlabel), (y, ax.set_ylabel)):
        label, scale = heading(name, METRICS[name].unit, float(np.nanmax(data["points"][name])))
        put(label)
        scales.append(scale.factor)
    ax.set_xscale(spaced(np.unique(data["points"][x])))
    ax.set_yscale(spaced(np.unique(data["points"][y])))
    points, front = (
        [np.array(data[kind][name]) / factor for name, factor in zip((x, y), scales, strict=True)]
        for kind in ("points", "front")
    )
    every = ax.scatter(
        points[0], points[1], s=5, color=look.faint, alpha=0.5, linewidths=0, label="fits", rasterized=True
    )
    (line,) = ax.step(
        *front, where="post", color=look.shade(COLOURS[1]), marker="o", markersize=3, linewidth=1.2,
        label="no other is better in both",
    )  # fmt: skip
    ax.spines[["top", "right"]].set_visible(False)
    title = f"{short(x)} and {short(y)}: {len(front[0])} of {len(points[0])} points on the front"
    captioned(ax, look, title, handles=[every, line])
    return ax
