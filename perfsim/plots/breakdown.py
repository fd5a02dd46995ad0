"""Where the time goes: stacked bars by kind of operator, by bound, or by phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from perfsim.errors import InputError
from perfsim.plots.frame import CHARACTER, captioned, scale_of, small, width_of
from perfsim.plots.kinds import GROUPS, group_colour, group_of
from perfsim.plots.style import COLOURS, Look, canvas
from perfsim.prediction.breakdown import Breakdown, breakdown_of
from perfsim.prediction.prediction import Prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SIZE", "VIEWS", "breakdown", "breakdown_by_bound", "breakdown_by_phase", "breakdown_data"]

SIZE = (7.0, 1.7)
"""Size of one view of one prediction [inch]."""

ROW = 0.35
"""Height that each further prediction adds [inch]."""

_BOUND: Mapping[str, int | None] = MappingProxyType(
    {"compute": 1, "memory": 5, "network": 2, "storage": 6, "overhead": None}
)
"""Colour of each bound; overhead has the faint one."""

Plotted = Prediction | Sequence[Prediction]


def breakdown_data(result: Plotted) -> dict[str, Any]:
    """What the views of :func:`breakdown` draw [s]."""
    return _breakdown(result).to_dict()


def breakdown(result: Plotted, *, ax: Axes | None = None) -> Axes:
    """Draw the runtime of one or several predictions by kind of operator, one bar each.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or a new one.

    Raises
    ------
    InputError
        for an empty list, or anything but predictions.
    """
    data = _breakdown(result)
    bars = [_grouped(bar) for bar in data.aspects["kind"]]
    groups = [group for group in GROUPS if any(group in bar for bar in bars)]
    return _draw(data, bars, groups, group_colour, "kind", ax)


def breakdown_by_bound(result: Plotted, *, ax: Axes | None = None) -> Axes:
    """Draw the runtime by what bounds each kernel: compute, memory, network, or overhead; as :func:`breakdown`."""
    data = _breakdown(result)
    parts = [part for part in _BOUND if part in data.parts("bound")]
    return _draw(data, data.aspects["bound"], parts, _bound_colour, "bound", ax)


def breakdown_by_phase(result: Plotted, *, ax: Axes | None = None) -> Axes:
    """Draw the runtime by phase, in their order; as :func:`breakdown`."""
    data = _breakdown(result)
    parts = data.parts("phase")
    return _draw(data, data.aspects["phase"], parts, partial(_phase_colour, parts), "phase", ax)


VIEWS: Mapping[str, Any] = MappingProxyType(
    {"kind": breakdown, "bound": breakdown_by_bound, "phase": breakdown_by_phase}
)
"""View → function that draws it."""


def _breakdown(result: Plotted) -> Breakdown:
    items: list[Any] = list(result) if isinstance(result, list | tuple) else [result]
    for item in items:
        if not isinstance(item, Prediction):
            raise InputError(f"breakdown: {type(item).__name__} given, expected a Prediction")
    return breakdown_of(items)


def _grouped(bar: Mapping[str, Any]) -> dict[str, Any]:
    sums: dict[str, Any] = {}
    for kind, runtime in bar.items():
        group = group_of(kind)
        sums[group] = sums.get(group, 0.0) + runtime
    return sums


def _bound_colour(part: str, look: Look) -> Any:
    index = _BOUND[part]
    return look.faint if index is None else look.shade(COLOURS[index])


def _phase_colour(parts: Sequence[str], part: str, look: Look) -> Any:
    return look.shade(COLOURS[parts.index(part) % len(COLOURS)])


def _heading(data: Breakdown) -> list[str]:
    """What is drawn, and on what all of it runs."""
    of = "" if len(data.titles) == 1 else f" of {len(data.titles)} predictions"
    first, *more = data.heading or ("",)
    return [f"where the time{of} goes{first and ': '}{first}", *more]


def _draw(
    data: Breakdown, bars: Sequence[Mapping[str, Any]], parts: Sequence[str], colour_of: Any, aspect: str,
    ax: Axes | None,
) -> Axes:  # fmt: skip
    """Horizontal bars, the first on top; a share stands in its piece where it fits, the total behind the bar."""
    from matplotlib.patches import Patch

    titles = data.titles
    ax, look = canvas(ax, (SIZE[0], SIZE[1] + ROW * (len(titles) - 1)))
    totals = [sum(bar.values()) for bar in bars]
    scale = scale_of(max(totals), "s")
    ax.set(xlim=(0, 1.15 * max(totals) / scale.factor), ylim=(len(bars) - 0.4, -0.6))
    ax.set_yticks(range(len(titles)), [title.replace(" · ", "\n") for title in titles], fontsize=small())
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel(f"predicted time by {aspect} [{scale.unit}]")
    handles = [Patch(facecolor=colour_of(part, look), label=part) for part in parts]
    captioned(ax, look, *_heading(data), handles=handles)
    points = width_of(ax) / (1.15 * max(totals) / scale.factor)
    lefts = [0.0] * len(bars)
    for part in parts:
        widths = [bar.get(part, 0.0) / scale.factor for bar in bars]
        fill = colour_of(part, look)
        ax.barh(range(len(bars)), widths, left=lefts, color=fill, height=0.7, linewidth=0, label=f"_{part}")
        for row, (left, width) in enumerate(zip(lefts, widths, strict=True)):
            text = f"{100 * width * scale.factor / totals[row]:.0f} %" if totals[row] else ""
            if width * points > (len(text) + 1) * small() * CHARACTER:
                ax.text(left + width / 2, row, text, ha="center", va="center", fontsize=small(),
                        color=look.over(fill))  # fmt: skip
        lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
    for row, total in enumerate(totals):
        own = scale_of(total, "s")
        ax.annotate(f"{total / own.factor:.3g} {own.unit}", (lefts[row], row), xytext=(3, 0), fontsize=small(),
                    textcoords="offset points", va="center", color=look.ink)  # fmt: skip
    return ax
