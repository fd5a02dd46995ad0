"""How far a metric swings with each quantity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perfsim.errors import InputError
from perfsim.plots.frame import captioned
from perfsim.plots.style import COLOURS, canvas
from perfsim.plots.sweep_frame import heading
from perfsim.sweeps.metrics import METRICS
from perfsim.sweeps.sensitivity import Swing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SIZE", "tornado", "tornado_data"]

SIZE = (6.5, 3.8)
"""Size of a figure of its own [inch]."""

SHOWN = 12
"""Bars of a figure; narrower swings are left out."""


def tornado_data(result: Sequence[Swing]) -> dict[str, Any]:
    """What :func:`tornado` draws: the widest swings.

    Raises
    ------
    InputError
        if there is none.
    """
    if not result:
        raise InputError("tornado: no quantity changes the metric; state other quantities or a larger factor")
    bars = [{"quantity": s.quantity, "low": s.low, "high": s.high} for s in result[:SHOWN]]
    return {"present": result[0].present, "bars": bars, "left_out": max(len(result) - SHOWN, 0)}


def tornado(result: Sequence[Swing], metric: str, *, ax: Axes | None = None) -> Axes:
    """Draw the swings of :func:`perfsim.sweeps.tornado` as bars around the present value, the widest on top.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or a new one.

    Raises
    ------
    InputError
        for an empty list.
    """
    from matplotlib.patches import Patch

    data = tornado_data(result)
    ax, look = canvas(ax, SIZE)
    less, more = look.shade(COLOURS[5]), look.shade(COLOURS[1])
    label, scale = heading(metric, METRICS[metric].unit, max(max(b["low"], b["high"]) for b in data["bars"]))
    present = data["present"] / scale.factor
    for place, bar in enumerate(data["bars"]):
        for side, colour in (("low", less), ("high", more)):
            ax.barh(place, bar[side] / scale.factor - present, left=present, height=0.7, color=colour, label=f"_{side}")
    ax.axvline(present, color=look.ink, linewidth=0.8)
    ax.set_yticks(range(len(data["bars"])), [bar["quantity"] for bar in data["bars"]])
    ax.invert_yaxis()
    ax.set_xlabel(label)
    ax.spines[["top", "right"]].set_visible(False)
    rest = f"; {data['left_out']} narrower ones left out" if data["left_out"] else ""
    handles = [Patch(color=less, label="quantity smaller"), Patch(color=more, label="quantity larger")]
    captioned(ax, look, f"swing of {metric}{rest}", handles=handles)
    return ax
