"""The waterline over time: kernels as columns of predicted runtime, filled up to their efficiency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perfsim.errors import InputError
from perfsim.plots.frame import beside, percent, scale_of
from perfsim.plots.style import Look, canvas
from perfsim.plots.waterline_parts import STRIP, Columns, Plotted, columns_of, described, handles, headed, waterlines
from perfsim.prediction.waterline import Waterline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["waterline_time"]

SIZE = (7.0, 3.8)
"""Size of a figure of its own [inch]."""

ALIKE = 0.01
"""Relative difference below which achieved and attainable efficiency are one line."""


def waterline_time(result: Plotted, *, ax: Axes | None = None) -> Axes:
    """Draw time × efficiency: a kernel is a column as wide as its predicted runtime and as high as the peak.

    The coloured part is arithmetic at the peak, the water above it waiting for memory at the full bandwidth, the grey
    rest everything else: launches, kernels below their roofline, links and the host. All areas are times.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or a new one.

    Raises
    ------
    InputError
        for an empty list, or more than one prediction, whose times do not share an axis.
    """
    lines = waterlines(result)
    if len(lines) > 1:
        raise InputError("waterline over time: one prediction at a time; draw each on axes of its own")
    (line,) = lines
    ax, look = canvas(ax, SIZE)
    kernels = [kernel for kernel in line.kernels if kernel.runtime]
    scale = scale_of(line.runtime, "s")
    widths = [kernel.runtime / scale.factor for kernel in kernels]
    ax.set(xlim=(0, sum(widths)), ylim=(-100 * STRIP, 100))
    ax.set_xlabel(f"predicted time, cumulated [{scale.unit}]")
    ax.set_ylabel("share of the peak [%]")
    headed(ax, lines, kernels, [*handles(kernels, "runtime", "time", look), *_waiting(line, look)], look)
    _columns(ax, line, columns_of(ax, kernels, widths, look), look)
    _efficiencies(ax, line, look)
    return ax


def _columns(ax: Any, line: Waterline, columns: Columns, look: Look) -> None:
    """Computing, waiting for memory, and the rest of every kernel, on top of each other."""
    compute, water, rest = zip(*([100 * part for part in line.shares(k)] for k in columns.kernels), strict=True)
    ground = [0.0] * len(compute)
    surface = [low + high for low, high in zip(compute, water, strict=True)]
    columns.bars(ax, compute, ground, "compute", color=columns.fills, edgecolor=look.paper, linewidth=columns.edges)
    columns.bars(ax, water, compute, "water", color=look.water)
    columns.bars(ax, rest, surface, "rest", color=look.loss)
    described(ax, columns, compute, 100.0, look)


def _waiting(line: Waterline, look: Look) -> list[Any]:
    from matplotlib.patches import Patch

    handles = []
    if line.submerged_flops:
        handles.append(
            Patch(facecolor=look.water, edgecolor=look.deep, linewidth=0.4, label="water: time waiting for memory")
        )
    if any(line.shares(kernel)[2] > 0.005 for kernel in line.kernels):
        label = "launch, host, links, kernels below roofline"
        handles.append(Patch(facecolor=look.loss, edgecolor=look.faint, linewidth=0.4, label=label))
    return handles


def _efficiencies(ax: Any, line: Waterline, look: Look) -> None:
    """Level lines of the achieved, the attainable and the aggregate efficiency, named beside the axes."""
    values: list[tuple[str, float, Any]] = [
        ("roofline of\naggregate", line.aggregate_efficiency, (0, (1, 1.5))),
        ("attainable", line.attainable_efficiency, (0, (5, 2))),
    ]
    if line.achieved_efficiency < (1 - ALIKE) * line.attainable_efficiency:
        values.append(("predicted", line.achieved_efficiency, "-"))
    for name, value, style in values:
        ax.axhline(100 * value, color=look.ink, linewidth=0.9, linestyle=style, label=f"_{name}", zorder=4)
    beside(ax, [(100 * value, f"{name} {percent(value)}", look.ink) for name, value, _ in values])
