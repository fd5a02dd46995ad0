"""Two variants along a quantity, and where they change places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perfsim.plots.frame import legend_below, small, titled
from perfsim.plots.style import COLOURS, look_of, new_axes
from perfsim.plots.sweep_frame import heading, spaced
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
    ax = new_axes(SIZE) if ax is None else ax
    look = look_of(ax)
    curves = {label: np.array(values, dtype=float) for label, values in data["curves"].items()}
    values = np.array(data["values"], dtype=float)
    x_label, x_scale = heading(result.quantity, result.unit, float(values.max()))
    top = float(np.nanmax([np.nanmax(v) for v in curves.values()]))
    y_label, y_scale = heading(result.metric, METRICS[result.metric].unit, top)
    ax.set_xscale(spaced(values))
    everything = np.concatenate(list(curves.values()))
    ax.set_yscale(spaced(everything[~np.isnan(everything)]))
    handles = []
    for colour, (label, found) in zip((COLOURS[0], COLOURS[1]), curves.items(), strict=False):
        ax.plot(
            values / x_scale.factor, found / y_scale.factor, color=look.shade(colour), linewidth=1.6, label=f"_{label}"
        )
        handles.append(Line2D([], [], color=look.shade(colour), label=label))
    for crossing in data["crossings"]:
        at = crossing["value"] / x_scale.factor
        ax.axvline(at, color=look.ink, linewidth=0.8, linestyle=(0, (3, 2)), label="_crossing")
        ax.annotate(
            f"{at:.4g}", (at, 0.02), xycoords=ax.get_xaxis_transform(), xytext=(3, 0), textcoords="offset points",
            fontsize=small(), color=look.ink,
        )  # fmt: skip
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.spines[["top", "right"]].set_visible(False)
    titled(ax, f"{result.metric} of two variants", look=look)
    legend_below(ax, handles, look)
    return ax
