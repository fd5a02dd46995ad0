"""The waterline: kernels as bars of traffic × operational intensity under the ridge point of a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from perfsim.plots.frame import beside, percent, scale_of
from perfsim.plots.roofline_frame import short_names
from perfsim.plots.style import Look, canvas
from perfsim.plots.waterline_parts import STRIP, Columns, Plotted, columns_of, described, handles, headed, waterlines
from perfsim.plots.waterline_time import waterline_time
from perfsim.prediction.waterline import Waterline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SIZE", "VIEWS", "waterline", "waterline_data"]

SIZE = (7.0, 3.8)
"""Size of one view [inch]."""

HIGHEST = 2.0
"""Height of the figure over the ridge point [1] where bars are higher: they go on above it, and a mark says so."""

APART = 7.0
"""Least distance of these marks [pt]."""


def waterline_data(result: Plotted) -> dict[str, Any]:
    """What the views of :func:`waterline` draw, in SI units; of several devices, under ``predictions``."""
    lines = waterlines(result)
    if len(lines) == 1:
        return lines[0].to_dict()
    return {"predictions": [line.to_dict() for line in lines]}


def waterline(result: Plotted, *, ax: Axes | None = None) -> Axes:
    """Draw bytes × intensity: a kernel is a bar as wide as its traffic and as high as its operational intensity.

    A bar's area is its FLOPs. The line is the ridge point of the device; the water between a lower bar and the line is
    what the machine could have computed while the bar's bytes move, so that bars over bars and water is the attainable
    efficiency. Bars with a mark at the top go on above it. Of several predictions with one model the bars and the water
    are those of the first, and every device has its line.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or a new one.

    Raises
    ------
    InputError
        for an empty list, or predictions of several models.

    References
    ----------
    .. [1] A. Lavin, "On the Efficiency of Convolutional Neural Networks", arXiv 2404.03617.
    """
    lines = waterlines(result)
    ax, look = canvas(ax, SIZE)
    kernels = [kernel for kernel in lines[0].kernels if kernel.traffic]
    heights = [float(kernel.operational_intensity or 0.0) for kernel in kernels]
    ridges = [float(line.ridge_point) for line in lines]
    top = min(1.12 * max(*heights, *ridges, 0.0), HIGHEST * max(ridges))
    scale = scale_of(lines[0].traffic, "B")
    widths = [kernel.traffic / scale.factor for kernel in kernels]
    ax.set(xlim=(0, sum(widths) or 1), ylim=(-STRIP * top, top))
    ax.set_xlabel(f"traffic of main memory, cumulated [{scale.unit}]")
    ax.set_ylabel("operational intensity [FLOP/byte]")
    legend = [*handles(kernels, "traffic", "bytes", look), *_water(lines[0], look)]
    headed(ax, lines, kernels, legend, look, _hidden(lines[0]))
    if kernels:
        _bars(ax, columns_of(ax, kernels, widths, look), heights, ridges[0], top, look)
    names = short_names([line.device for line in lines]) if len(lines) > 1 else ["waterline"]
    for ridge in ridges:
        ax.axhline(ridge, color=look.deep, linewidth=1.2 if ridge == ridges[0] else 0.8, label="_ridge point")
    beside(ax, [(r, f"{n}\n{r:.3g} FLOP/B", look.deep) for n, r in zip(names, ridges, strict=True)])
    return ax


VIEWS: Mapping[str, Any] = MappingProxyType({"traffic": waterline, "time": waterline_time})
"""View → function that draws it."""


def _bars(ax: Any, columns: Columns, heights: Sequence[float], ridge: float, top: float, look: Look) -> None:
    """Kernels, the water above them, and what they are."""
    ground = [0.0] * len(heights)
    columns.bars(ax, heights, ground, "kernels", color=columns.fills, edgecolor=look.paper, linewidth=columns.edges)
    columns.bars(ax, [max(ridge - height, 0.0) for height in heights], heights, "water", color=look.water)
    _continued(ax, columns, heights, top, look)
    described(ax, columns, [min(height, top) for height in heights], top, look)


def _continued(ax: Any, columns: Columns, heights: Sequence[float], top: float, look: Look) -> None:
    """A mark on bars that the top of the figure cuts; marks that would touch share one."""
    last = -APART / columns.points
    for start, width, height in zip(columns.starts, columns.widths, heights, strict=True):
        middle = start + width / 2
        if height > top and (middle - last) * columns.points >= APART:
            last = middle
            ax.plot(
                [middle], [1.0], marker="^", markersize=3, color=look.ink, transform=ax.get_xaxis_transform(),
                clip_on=False, label="_continued", zorder=6,
            )  # fmt: skip


def _water(line: Waterline, look: Look) -> list[Any]:
    from matplotlib.patches import Patch

    if not line.submerged_flops:
        return []
    share = line.submerged_flops / (line.submerged_flops + line.flops)
    label = f"water: {percent(share)} of what could be computed"
    return [Patch(facecolor=look.water, edgecolor=look.deep, linewidth=0.4, label=label)]


def _hidden(line: Waterline) -> str | None:
    """What has no width in bytes × intensity."""
    some = [kernel for kernel in line.kernels if not kernel.traffic]
    parts = []
    work = sum(kernel.flops for kernel in some) / line.flops
    time = sum(kernel.runtime for kernel in some) / line.runtime if line.runtime else 0.0
    if work >= 0.0005:
        parts.append(f"{percent(work)} of the FLOPs")
    if time >= 0.0005:
        parts.append(f"{percent(time)} of the time")
    return f"without traffic, so without width: {', '.join(parts)}" if parts else None
