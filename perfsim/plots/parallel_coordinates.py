"""Points of a sweep as lines over parallel axes: quantities and metrics side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perfsim.errors import InputError
from perfsim.plots.frame import captioned, small
from perfsim.plots.style import canvas
from perfsim.plots.sweep_frame import heading, short, spaced, variable
from perfsim.sweeps.metrics import METRICS

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

__all__ = ["SIZE", "parallel_coordinates", "parallel_coordinates_data"]

SIZE = (7.5, 3.8)
"""Size of a figure of its own [inch]."""

MOST_LINES = 2000
"""Points that are drawn; of more, equally spaced ones."""


def parallel_coordinates_data(result: xarray.Dataset, columns: Sequence[str]) -> dict[str, Any]:
    """What :func:`parallel_coordinates` draws: by column its values, point by point; points that do not fit are left
    out.

    Raises
    ------
    UnknownNameError, InputError
        for a column that is not there, fewer than two of them, or no point that fits.
    """
    import numpy as np

    if len(columns) < 2:
        raise InputError(f"parallel coordinates of {', '.join(columns) or 'nothing'}: state two columns or more")
    dims = list(result.dims)
    found: dict[str, Any] = {}
    for name in columns:
        if name not in result.coords:
            variable(result, name)
        spread = result[name].broadcast_like(result["runtime"] if "runtime" in result else result[name])
        found[name] = np.ravel(spread.transpose(*dims).values)
    every = np.arange(len(found[columns[0]]))
    places = np.flatnonzero(result["fits"].transpose(*dims).values) if "fits" in result else every
    if not len(places):
        raise InputError("parallel coordinates: no point of the sweep fits the memory")
    chosen = places[:: -(-len(places) // MOST_LINES)]
    return {"columns": {name: values[chosen].tolist() for name, values in found.items()}, "points": len(places)}


def parallel_coordinates(result: xarray.Dataset, columns: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draw each point as a line over the columns (axes and metrics of the sweep), coloured by the last one.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or a new one.

    Raises
    ------
    UnknownNameError, InputError
        as :func:`parallel_coordinates_data`.
    """
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    data = parallel_coordinates_data(result, columns)
    ax, look = canvas(ax, SIZE)
    heights, labels, ticks = zip(*(_column(result, n, v) for n, v in data["columns"].items()), strict=True)
    points = np.stack([np.stack([np.full(len(h), i), h], axis=1) for i, h in enumerate(heights)], axis=1)
    colours = colormaps["cividis"](heights[-1])
    ax.add_collection(LineCollection(list(points), colors=colours, linewidths=0.7, alpha=0.7))
    for place, marks in enumerate(ticks):
        ax.axvline(place, color=look.ink, linewidth=0.8)
        for height, text in marks:
            ax.annotate(
                text, (place, height), xytext=(3, 0), textcoords="offset points", fontsize=small(), va="center",
                color=look.ink, bbox={"facecolor": look.paper, "edgecolor": "none", "alpha": 0.8, "pad": 0.6}, zorder=5,
            )  # fmt: skip
    ax.set_xlim(-0.1, len(columns) - 1 + 0.35)
    ax.set_ylim(-0.04, 1.04)
    ax.set_xticks(range(len(columns)), [label.replace(".", "\n", 1).replace(" [", "\n[") for label in labels])
    ax.set_yticks([])
    ax.spines[["top", "right", "left", "bottom"]].set_visible(False)
    ax.tick_params(length=0)
    shown, fitting = len(heights[0]), data["points"]
    some = f"{shown} of {fitting}" if shown < fitting else f"all {fitting}"
    captioned(ax, look, f"{some} points that fit, coloured by {short(columns[-1])}")
    return ax


def _column(result: xarray.Dataset, name: str, values: list[Any]) -> tuple[Any, str, list[tuple[float, str]]]:
    """Heights from 0 to 1, the label, and marks with their texts."""
    import numpy as np

    if any(isinstance(value, str) for value in values):
        names = list(dict.fromkeys(values))
        step = 1 / max(len(names) - 1, 1)
        marks = [(i * step, text) for i, text in enumerate(names)]
        return np.array([names.index(v) * step for v in values]), short(name), marks
    numbers = np.array(values, dtype=float)
    unit = METRICS[name].unit if name in METRICS else str(result[name].attrs.get("units", "1"))
    label, scale = heading(name, unit, float(np.nanmax(numbers)))
    log = spaced(np.unique(numbers)) == "log"
    low, high = float(np.nanmin(numbers)), float(np.nanmax(numbers))
    if high == low:
        return np.full(len(numbers), 0.5), label, [(0.5, f"{low / scale.factor:.3g}")]
    heights = np.log(numbers / low) / np.log(high / low) if log else (numbers - low) / (high - low)
    marks = []
    for height in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = low * (high / low) ** height if log else low + height * (high - low)
        marks.append((height, f"{value / scale.factor:.3g}"))
    return heights, label, marks
