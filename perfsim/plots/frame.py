"""What the figures with a plain frame share: scaled axes, a title that fits, a legend and notes beside the data."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from perfsim.plots.labels import spread
from perfsim.plots.style import Look, extent_of, figure_of, laid_out

__all__ = [
    "CHARACTER",
    "Scale",
    "beside",
    "captioned",
    "legend_at",
    "percent",
    "phase_borders",
    "room_above",
    "scale_of",
    "small",
    "width_of",
]


def small() -> float:
    """Font size of labels and legends [pt]: below that of the axes, at most 7."""
    from matplotlib import rcParams

    return min(7.0, 0.85 * float(rcParams["font.size"]))


LIFT = 7.0
"""Height above the axes of names of phases that stand beside their own [pt]."""

CHARACTER = 0.56
"""Mean width of a character over the font size."""

_LEADER: Mapping[str, Any] = MappingProxyType(
    {"arrowstyle": "-", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)}
)
_PREFIXES = (
    (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"),
)  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """A factor and the unit with its prefix: ``value / factor`` is the number before ``unit``."""

    factor: float
    unit: str


def scale_of(largest: float, unit: str) -> Scale:
    """The prefix with which ``largest`` is at least 1."""
    factor, prefix = next((f, p) for f, p in (*_PREFIXES, (0.0, "n")) if largest >= f)
    return Scale(factor or 1e-9, prefix + unit)


def percent(share: float) -> str:
    """A share with two digits."""
    if share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.2g} %"


def width_of(ax: Any) -> float:
    """Width of the axes [pt], laid out with all that is drawn so far."""
    laid_out(ax)
    return extent_of(ax)[0]


def room_above(phases: Iterable[str]) -> float:
    """Room between the axes and the title [pt]: the names of the phases stand there if there are several."""
    return 6.0 if len(set(phases)) < 2 else 6.0 + LIFT + small()


def captioned(
    ax: Any, look: Look, *lines: str, handles: Sequence[Any] = (), note: str | None = None, pad: float = 4.0
) -> None:
    """What every figure says of itself: a title above the axes, and below them a legend with a note as its title.

    lines: of the title; handles: entries of the legend; pad: room between the axes and the title [pt].
    """
    _titled(ax, lines, look, pad)
    if handles:
        _legend_below(ax, handles, look, note)


def _titled(ax: Any, lines: Sequence[str], look: Look, pad: float) -> None:
    """A title of several lines, flush left, broken where the figure ends."""
    from matplotlib import rcParams

    size = float(rcParams["font.size"])
    room = 0.8 * 72 * figure_of(ax).get_figwidth() / _columns(ax)
    characters = max(int(room / (size * CHARACTER)), 16)
    text = "\n".join("\n".join(textwrap.wrap(line, characters)) for line in lines)
    ax.set_title(text, loc="left", fontsize=size, color=look.ink, pad=pad)


def _columns(ax: Any) -> int:
    return int(ax.get_subplotspec().get_gridspec().ncols)


def _legend_below(ax: Any, handles: Sequence[Any], look: Look, note: str | None) -> None:
    """A legend below the axes and their label, so that it hides nothing; as many columns as fit."""
    from matplotlib import rcParams

    longest = max(len(str(handle.get_label())) for handle in handles)
    room = 72 * figure_of(ax).get_figwidth() * 0.97 / _columns(ax)
    columns = int(min(max(room // ((longest * CHARACTER + 4.2) * small()), 1), 5, len(handles)))
    legend_at(
        ax, handles, look, below=4.1 * float(rcParams["font.size"]), size=small(), columns=columns, note=note,
        handlelength=1.4, handleheight=0.8, columnspacing=1.2, labelspacing=0.35,
    )  # fmt: skip


def legend_at(
    ax: Any, handles: Sequence[Any], look: Look, *, below: float, size: float, columns: int, note: str | None,
    **spacing: float,
) -> None:  # fmt: skip
    """A legend ``below`` [pt] the axes in letters of ``size`` [pt], flush left; spacing: as matplotlib's legend."""
    from matplotlib.transforms import ScaledTranslation

    corner = ax.transAxes + ScaledTranslation(0, -below / 72, figure_of(ax).dpi_scale_trans)
    legend = ax.legend(
        handles=list(handles), loc="upper left", bbox_to_anchor=(0.0, 0.0), bbox_transform=corner, ncols=columns,
        fontsize=size, labelcolor=look.ink, borderaxespad=0.0, frameon=False, title=note, title_fontsize=size,
        alignment="left", **spacing,
    )  # fmt: skip
    legend.get_title().set_color(look.ink)


def beside(ax: Any, notes: Sequence[tuple[float, str, Any]]) -> None:
    """Texts right of the axes at heights in data units, moved apart where they would touch; (height, text, colour)."""
    low, high = ax.get_ylim()
    tall = extent_of(ax)[1]
    lines = max(text.count("\n") + 1 for _, text, _ in notes)
    wished = [(height - low) / (high - low) * tall for height, _, _ in notes]
    places = spread(wished, small() * 1.25 * lines, 0.0, tall)
    for (height, text, colour), wish, place in zip(notes, wished, places, strict=True):
        ax.annotate(
            text, (1.0, height), xycoords=ax.get_yaxis_transform(), xytext=(9, place - wish), color=colour,
            textcoords="offset points", va="center", ha="left", fontsize=small(), annotation_clip=False,
            arrowprops={**_LEADER, "color": colour},
        )  # fmt: skip


def phase_borders(ax: Any, spans: Sequence[tuple[str, float]], end: float, look: Look) -> None:
    """Borders between phases, and their names above the axes; spans: (phase, start).

    Names of narrow phases stand beside their own with a line to it; if all are too many, those of the widest stay.
    """
    firsts = [span for i, span in enumerate(spans) if i == 0 or span[0] != spans[i - 1][0]]
    if len(firsts) < 2:
        return
    for _, left in firsts[1:]:
        ax.axvline(left, color=look.ink, linewidth=0.6, linestyle=(0, (2, 2)), label="_phase", zorder=4)
    whole = extent_of(ax)[0]
    ends = [*(start for _, start in firsts[1:]), end]
    named = [
        (name, left * whole / end, right * whole / end, (len(name) + 2) * small() * CHARACTER)
        for (name, left), right in zip(firsts, ends, strict=True)
    ]
    while sum(width for *_, width in named) > whole and len(named) > 1:
        named.remove(min(named, key=lambda phase: phase[2] - phase[1]))
    places = spread([(left + right) / 2 for _, left, right, _ in named], [phase[3] for phase in named], 0.0, whole)
    for (name, left, right, _), place in zip(named, places, strict=True):
        _phase_name(ax, name, (left, right), place, whole, look)


def _phase_name(ax: Any, name: str, span: tuple[float, float], place: float, whole: float, look: Look) -> None:
    """The name of a phase at ``place`` above the axes, with a line if its ``span`` is elsewhere [pt]."""
    middle = (span[0] + span[1]) / 2
    aside = not span[0] <= place <= span[1]
    ax.annotate(
        name, (middle / whole, 1.0), xycoords="axes fraction", xytext=(place - middle, LIFT if aside else 2),
        ha="center", textcoords="offset points", va="bottom", fontsize=small(), color=look.ink, annotation_clip=False,
        arrowprops={**_LEADER, "relpos": (0.5, 0), "color": look.ink} if aside else None,
    )  # fmt: skip
