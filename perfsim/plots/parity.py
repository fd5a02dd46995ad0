"""Predicted against measured, one point per row of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfsim.plots.style import COLOURS, canvas
from perfsim.validation.report import Pair, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BAND", "parity"]

BAND = 0.1
"""Half-width of the band around "predicted = measured" [1]."""

SIZE = (5.6, 5.2)
"""Size of a figure of its own [inch]."""

_MARGIN = 1.25
"""Room around the data on both logarithmic axes, as a factor."""


def parity(report: Report, *, ax: Axes | None = None) -> Axes:
    """Draw predicted over measured for every pair of ``report``, both logarithmic and on the same scale.

    Colour is the device; a hollow circle is a row that a calibration used, a filled triangle one that it never saw.
    The solid line is "predicted = measured", the dashed ones are ±10 % around it; all lie over the points, so that
    many points cannot hide them.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or a new one.
    """
    ax, look = canvas(ax, SIZE)
    for index, device in enumerate(dict.fromkeys(pair.device for pair in report.pairs)):
        colour = COLOURS[index % len(COLOURS)]
        for fitted in (True, False):
            _points(ax, [p for p in report.pairs if p.device == device and p.fitted is fitted], device, colour)
    low, high = _limits(report)
    ax.plot([low, high], [low, high], color=look.ink, linewidth=0.8, label="predicted = measured", zorder=5)
    for factor, label in ((1 + BAND, f"±{100 * BAND:.0f} %"), (1 - BAND, "_lower")):
        ax.plot(
            [low, high], [low * factor, high * factor], color=look.ink, linewidth=0.6, linestyle=(0, (5, 3)),
            label=label, zorder=5,
        )  # fmt: skip
    ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), title=report.suite, box_aspect=1)
    ax.set_xlabel("measured [SI unit]")
    ax.set_ylabel("predicted [SI unit]")
    ax.legend(loc="lower right", fontsize="small", framealpha=1.0)
    return ax


def _limits(report: Report) -> tuple[float, float]:
    values = [value for pair in report.pairs for value in (pair.predicted, pair.measured) if value > 0]
    return (min(values) / _MARGIN, max(values) * _MARGIN) if values else (0.1, 1.0)


def _points(ax: Axes, pairs: list[Pair], device: str, colour: str) -> None:
    if not pairs:
        return
    fitted = pairs[0].fitted
    ax.plot(
        [pair.measured for pair in pairs], [pair.predicted for pair in pairs],
        linestyle="none", marker="o" if fitted else "^", markersize=4.0 if fitted else 3.0,
        markerfacecolor="none" if fitted else colour, markeredgecolor=colour, markeredgewidth=0.5 if fitted else 0.0,
        label=f"{device}, {'fitted' if fitted else 'unseen'} ({len(pairs)})", zorder=3,
    )  # fmt: skip
