"""Two variants along a quantity, and where they change places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perfsim.plots.frame import captioned, small
from perfsim.plots.style import COLOURS, canvas
from perfsim.plots.sweep_frame import quantity, spaced
from perfsim.sweeps.crossover import Crossover
from perfsim.sweeps.metrics import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SIZE", "crossover", "crossover_data"]

SIZE = (6.5, 3.6)
"""Size of a figure of its own [inch]."""


def crossover_data(result: Crossover) -> dict[str, Any]:
    """What :func:`crossover` draws: both curves, and the crossings with the metric there."""
    curves = {result.first: list(result.first_metric), result.second: list(result.second_metric)}
    crossings = [{"value": c.value, "better": c.better} for c in result.crossings]
    return {"values": list(result.values), "curves": curves, "crossings": crossings}


def crossover(result: Crossover, *, ax: Axes | None = None) -> Axes:
    """Draw the metric of both variants of :func:`perfsim.sweeps.crossover`; dashed lines where the better one changes.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or a new one.
    """
    import numpy as np
    from matplotlib.lines import Line2D

    data = crossover_data(result)
    ax, look = canvas(ax, SIZE)
    x = quantity(result.quantity, result.unit, data["values"])
    y = quantity(result.metric, METRICS[result.metric].unit, list(data["curves"].values()))
    ax.set(xlabel=x.label, ylabel=y.label, xscale=spaced(x.values), yscale=spaced(y.values[~np.isnan(y.values)]))
    handles = []
    for colour, label, curve in zip((COLOURS[0], COLOURS[1]), data["curves"], y.values, strict=False):
        ax.plot(x.values, curve, color=look.shade(colour), linewidth=1.6, label=f"_{label}")
        handles.append(Line2D([], [], color=look.shade(colour), label=label))
    for crossing in data["crossings"]:
        at = crossing["value"] / x.factor
        ax.axvline(at, color=look.ink, linewidth=0.8, linestyle=(0, (3, 2)), label="_crossing")
        ax.annotate(
            f"{at:.4g}", (at, 0.02), xycoords=ax.get_xaxis_transform(), xytext=(3, 0), textcoords="offset points",
            fontsize=small(), color=look.ink,
        )  # fmt: skip
    ax.spines[["top", "right"]].set_visible(False)
    captioned(ax, look, f"{result.metric} of two variants", handles=handles)
    return ax
