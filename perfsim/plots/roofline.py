"""The roofline: memory levels and compute peaks of devices, and the kernels of predictions under them."""

from __future__ import annotations

from collections.abc import Mapping
from math import log10
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from perfsim.plots.frame import captioned, legend_at
from perfsim.plots.labels import spread
from perfsim.plots.roofline_frame import (
    CHARACTER,
    LINE,
    SMALL,
    Frame,
    drawn_ceilings,
    fastest,
    level_text,
    named_levels,
    prefix,
    settled_frame,
)
from perfsim.plots.roofline_parts import Plotted, roofline_data
from perfsim.plots.roofline_points import LEADER, area_of, draw_points, fills_of, key_of, markers_of, name_points
from perfsim.plots.style import COLOURS, Look, canvas, figure_of
from perfsim.quantities.units import DIMENSIONS, format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SIZE", "roofline", "roofline_data"]

SIZE = (8.6, 6.4)
"""Size of a figure of its own [inch]."""

BELOW = 38.0
"""Distance of the legend from the axes [pt]: room for ticks and their name."""

RIGHT = 1e12
"""Operational intensity far beyond the right edge [FLOP/byte]."""

_STROKES: Mapping[str, Any] = MappingProxyType({"matrix": "-", "vector": (0, (1, 1.5)), "sparse matrix": (0, (6, 3))})
"""Stroke of a ceiling by the unit."""

_PREFIXES = ((1e12, "TFLOP/s"), (1e9, "GFLOP/s"), (1e6, "MFLOP/s"), (1.0, "FLOP/s"))
_SHORT: Mapping[str, str] = MappingProxyType({"fp8_e4m3": "fp8", "fp8_e5m2": "fp8"})


def roofline(result: Plotted, *, sparse: bool = False, ax: Axes | None = None) -> Axes:
    """Draw the roofline of devices, predictions, or a list of either, on logarithmic axes of equal decades.

    A rising line is a memory level (thick: main memory), a level one a peak by unit and number format (thick: one that
    the kernels use). A point is a kernel: operational intensity against main memory over the performance that one
    device achieves, area by share of the time, shape by phase, colour by group of kinds; of several predictions, by
    prediction.
    sparse: also draw the peaks with structured sparsity, dashed; no kernel reaches them without sparse weights.
    Kernels without FLOPs or traffic have no place here; the legend says how much time they take.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or a new one.

    Raises
    ------
    InputError
        if a device has no peak or no main-memory bandwidth.

    References
    ----------
    .. [1] S. Williams, A. Waterman, D. Patterson, "Roofline", Commun. ACM 52(4), 2009.
    """
    data = roofline_data(result, sparse=sparse)
    ax, look = canvas(ax, SIZE)
    colours, fills = _colours(data, look), fills_of(data, look)
    ax.set(xscale="log", yscale="log")
    ax.set_aspect("equal", adjustable="box")
    _scales(ax, data, look)
    draw_points(ax, data, fills, look)
    _legend(ax, data, colours, fills, look)
    peaks = _ceilings(ax, data, colours, look)
    frame = settled_frame(ax, data)
    _spread_peaks(peaks, data, frame)
    _levels(ax, data, frame, colours, look)
    name_points(ax, data, frame, look)
    return ax


def _colours(data: dict[str, Any], look: Look) -> list[Any]:
    """Colour of each device's lines: ink for a single one."""
    if len(data["devices"]) == 1:
        return [look.ink]
    return [look.shade(COLOURS[i % len(COLOURS)]) for i in range(len(data["devices"]))]


def _levels(ax: Axes, data: dict[str, Any], frame: Frame, colours: list[Any], look: Look) -> None:
    """Memory levels as rising lines up to the highest peak, with their names along them."""
    slowest = min(named_levels(data), key=lambda pair: pair[1]["bandwidth"])
    below = (slowest[0], slowest[1]["name"]) if len(data["devices"]) > 1 else None
    for index, device in enumerate(data["devices"]):
        top = device["ceilings"][0]["peak"]
        for level in device["levels"]:
            bandwidth, main = level["bandwidth"], level["main"]
            x = [10**frame.x0, top / bandwidth]
            ax.plot(
                x, [bandwidth * v for v in x], color=colours[index], linewidth=1.8 if main else 0.9,
                linestyle="-" if main else (0, (5, 2)), zorder=2, label=f"_{device['name']} {level['name']}",
            )  # fmt: skip
            if (index, level["name"]) not in frame.lanes:
                continue
            start = 10 ** (frame.x0 + 8 / frame.scale + frame.lane * frame.lanes[index, level["name"]])
            side = -1.0 if (index, level["name"]) == below else 1.0
            ax.annotate(
                level_text(data["devices"], index, level), (start, bandwidth * start), xytext=(-1.5 * side, 1.5 * side),
                textcoords="offset points", rotation=45, rotation_mode="anchor", ha="left", fontsize=SMALL,
                va="bottom" if side > 0 else "top",
                color=colours[index], fontweight="bold" if main else "normal", zorder=5,
                bbox={"boxstyle": "square,pad=0", "facecolor": look.paper, "edgecolor": "none", "alpha": 0.7},
            )  # fmt: skip


def _ceilings(ax: Axes, data: dict[str, Any], colours: list[Any], look: Look) -> list[Any]:
    """Peaks as level lines that end at the right edge; the result are their names, right of the axes."""
    all_alike = not data["kernels"]
    names = []
    for index, ceiling in drawn_ceilings(data):
        device, strong = data["devices"][index], ceiling["used"] or all_alike
        start = ceiling["peak"] / fastest(device)
        colour = colours[index] if strong else look.faint
        ax.plot(
            [start, RIGHT], [ceiling["peak"]] * 2, color=colour, zorder=2,
            linewidth=1.4 if ceiling["used"] else 0.8, linestyle=_STROKES[ceiling["unit"]],
            label=f"_{device['name']} {ceiling['unit']} {ceiling['formats'][0]}",
        )  # fmt: skip
        text = ax.annotate(
            prefix(data["devices"], index) + _ceiling_text(ceiling), (1, ceiling["peak"]),
            xycoords=ax.get_yaxis_transform(), xytext=(12, 0), textcoords="offset points", fontsize=SMALL,
            va="center", color=colour, fontweight="bold" if ceiling["used"] else "normal", annotation_clip=False,
            arrowprops={**LEADER, "color": colour, "relpos": (0, 0.5)},
        )  # fmt: skip
        names.append(text)
    return names


def _spread_peaks(names: list[Any], data: dict[str, Any], frame: Frame) -> None:
    """Move the names of close peaks apart."""
    wished = [frame.at(1, ceiling["peak"])[1] for _, ceiling in drawn_ceilings(data)]
    places = spread(wished, SMALL * LINE * 1.1, 0.0, (frame.y1 - frame.y0) * frame.scale)
    for text, at, height in zip(names, wished, places, strict=True):
        text.xyann = (12, height - at)


def _ceiling_text(ceiling: dict[str, Any]) -> str:
    factor, unit = _unit(ceiling["peak"])
    formats = ", ".join(dict.fromkeys(_SHORT.get(name, name) for name in ceiling["formats"]))
    return f"{ceiling['unit']} {formats}: {ceiling['peak'] / factor:.4g} {unit}"


def _unit(peak: float) -> tuple[float, str]:
    """Factor and name of the unit of performance in which a peak is at least 1."""
    return next((factor, unit) for factor, unit in _PREFIXES if peak >= factor or factor == 1.0)


def _scales(ax: Axes, data: dict[str, Any], look: Look) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    factor, unit = _unit(max(device["ceilings"][0]["peak"] for device in data["devices"]))
    for axis, scale in ((ax.xaxis, 1.0), (ax.yaxis, factor)):
        axis.set_major_locator(LogLocator(base=10, numticks=30))
        axis.set_minor_locator(LogLocator(base=10, subs=range(2, 10), numticks=300))
        axis.set_major_formatter(FuncFormatter(lambda value, _, s=scale: _tick(value / s)))
        axis.set_minor_formatter(NullFormatter())
    ax.grid(visible=True, which="major", color=look.faint, alpha=0.25, linewidth=0.5)
    ax.set_axisbelow(True)
    ax.set_xlabel("operational intensity at main memory [FLOP/byte]")
    ax.set_ylabel(f"performance of one device [{unit}]")
    names = [device["name"] for device in data["devices"]]
    title = " and ".join(names) if len(names) < 3 else f"{len(names)} devices"
    predictions = data["predictions"]
    captioned(ax, look, *(predictions[0].split(": ", 1) if len(predictions) == 1 else [f"roofline of {title}"]))


def _tick(value: float) -> str:
    """``0.01``, ``1``, ``1000``; powers of ten only where that is shorter."""
    return f"{value:g}" if 9e-4 <= value < 1e5 else f"$10^{{{round(log10(value))}}}$"


def _legend(ax: Axes, data: dict[str, Any], colours: list[Any], fills: dict[Any, Any], look: Look) -> None:
    """Below the axes, so that it hides nothing."""
    from matplotlib.lines import Line2D

    def dot(label: str, colour: Any, marker: str = "o", area: float = 36.0) -> Line2D:
        return Line2D([], [], linestyle="none", marker=marker, color=colour, markersize=area**0.5, label=label)

    handles = []
    if len(data["devices"]) > 1:
        pairs = zip(data["devices"], colours, strict=True)
        handles += [Line2D([], [], color=c, linewidth=1.8, label=_device_text(data, d)) for d, c in pairs]
    for key, colour in fills.items():
        rows = [row for row in data["kernels"] if key_of(data, row) == key]
        share = f" ({_percent(sum(row['share'] for row in rows))})"
        handles.append(dot(data["predictions"][key] if isinstance(key, int) else key + share, colour))
    phases = markers_of(data)
    handles += [dot(phase, look.faint, marker) for phase, marker in phases.items() if len(phases) > 1]
    if phases:
        handles += [dot(f"{100 * s:.0f} % of the time", look.faint, "o", area_of(s)) for s in (0.01, 0.1)]
    if not handles:
        return
    width = (max(len(str(handle.get_label())) for handle in handles) * CHARACTER + 4) * (SMALL + 1)
    columns = int(min(max(0.9 * 72 * figure_of(ax).get_figwidth() // width, 1), 5))
    legend_at(ax, handles, look, below=BELOW, size=SMALL + 1, columns=columns, note=_hidden(data))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.005 else "< 0.5 %"


def _device_text(data: dict[str, Any], device: dict[str, Any]) -> str:
    """Name of a device, and its levels where they have no name in the figure."""
    text = f"{device['name']}: {device['title']}"
    if len(named_levels(data)) == sum(len(d["levels"]) for d in data["devices"]):
        return text
    caches = [lv for lv in device["levels"] if not lv["main"]]
    names = ", ".join(f"{c['name']} {format_quantity(c['bandwidth'], DIMENSIONS['bandwidth'])}" for c in caches)
    return f"{text}; dashed: {names}" if caches else text


def _hidden(data: dict[str, Any]) -> str | None:
    """How much time the kernels take that have no place in the figure, per prediction."""
    lines = []
    for index, title in enumerate(data["predictions"]):
        rows = sorted((r for r in data["not_shown"] if r["prediction"] == index), key=lambda r: -r["share"])
        total = sum(row["share"] for row in rows)
        if total >= 0.0005:
            of = f" of {title.partition(':')[0]}" if len(data["predictions"]) > 1 else ""
            lines.append(f"not shown, without FLOPs or traffic: {100 * total:.1f} %{of}, most of it {rows[0]['name']}")
    return "\n".join(lines) or None
