"""The kernels of a roofline figure: points under the lines, and names of those that take much of the time."""

from __future__ import annotations

from collections.abc import Mapping
from math import hypot, log10
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from perfsim.plots.kinds import group_colour, group_of, groups_in
from perfsim.plots.labels import Box, leader, place
from perfsim.plots.roofline_frame import CHARACTER, LINE, SMALL, Frame, fastest, prefix
from perfsim.plots.style import COLOURS, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LEADER", "area_of", "draw_points", "fills_of", "key_of", "markers_of", "name_points"]

LARGE = 0.03
"""Share of the time from which on a kernel is labelled [1]."""

AREA, LEAST_AREA = 1400.0, 9.0
"""Area of a point [pt²]: of one that takes all the time, and of the smallest that is drawn."""

LEADER: Mapping[str, Any] = MappingProxyType({"arrowstyle": "-", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0})
"""The line from a label to what it names."""

_MARKERS = ("o", "s", "^", "D", "v", "P")


def fills_of(data: dict[str, Any], look: Look) -> dict[Any, Any]:
    """Colour of the points by group of kinds, or by prediction where there are several."""
    if len(data["predictions"]) > 1:
        return {i: look.shade(COLOURS[i % len(COLOURS)]) for i in range(len(data["predictions"]))}
    return {group: group_colour(group, look) for group in groups_in(row["kind"] for row in data["kernels"])}


def key_of(data: dict[str, Any], row: dict[str, Any]) -> Any:
    """What decides the colour of a kernel's point: the group of its kind, or its prediction where there are several."""
    return row["prediction"] if len(data["predictions"]) > 1 else group_of(row["kind"])


def markers_of(data: dict[str, Any]) -> dict[str, str]:
    """Marker by phase."""
    phases = dict.fromkeys(row["phase"] for row in data["kernels"])
    return {phase: _MARKERS[i % len(_MARKERS)] for i, phase in enumerate(phases)}


def area_of(share: float) -> float:
    """Area of the point of a kernel that takes this share of the time [pt²]."""
    return max(AREA * share, LEAST_AREA)


def draw_points(ax: Axes, data: dict[str, Any], fills: dict[Any, Any], look: Look) -> None:
    """One collection of points per phase, the large ones below."""
    for phase, marker in markers_of(data).items():
        rows = sorted((row for row in data["kernels"] if row["phase"] == phase), key=lambda row: -row["share"])
        ax.scatter(
            [row["operational_intensity"] for row in rows], [row["performance"] for row in rows],
            s=[area_of(row["share"]) for row in rows], c=[fills[key_of(data, row)] for row in rows], marker=marker,
            alpha=0.85, edgecolors=[look.paper], linewidths=0.7, zorder=4, label=f"_{phase}",
        )  # fmt: skip


def name_points(ax: Axes, data: dict[str, Any], frame: Frame, look: Look) -> None:
    """Names of the kernels that take much of the time; those in one place share a label."""
    taken = [_disc(frame, row) for row in data["kernels"]]
    room = Box(2.0, 2.0, (frame.x1 - frame.x0) * frame.scale - 2, (frame.y1 - frame.y0) * frame.scale - 2)
    clusters = _clusters(data, frame)
    leaders: list[list[Box]] = []
    spots = [frame.at(row["operational_intensity"], row["performance"]) for row in data["kernels"]]
    for rows in clusters:
        text = _cluster_text(data, rows)
        anchor = frame.at(rows[0]["operational_intensity"], rows[0]["performance"])
        size = (len(text) * SMALL * CHARACTER, SMALL * LINE)
        reach = (area_of(rows[0]["share"]) ** 0.5) / 2
        others = [spot for spot in spots if hypot(spot[0] - anchor[0], spot[1] - anchor[1]) > SMALL]
        box, far = place(anchor, size, reach, taken, room, lambda b: _crossings(b, data, frame), others, leaders)
        taken.append(box)
        leaders += [leader(anchor, box)] if far else []
        shift = ((box.left + box.right) / 2 - anchor[0], (box.bottom + box.top) / 2 - anchor[1])
        line = {**LEADER, "color": look.faint, "shrinkB": reach}
        ax.annotate(
            text, (rows[0]["operational_intensity"], rows[0]["performance"]), xytext=shift, fontsize=SMALL,
            textcoords="offset points", ha="center", va="center", color=_label_colour(data, rows[0], look), zorder=6,
            arrowprops=line if far else None,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": look.paper, "edgecolor": "none", "alpha": 0.8},
        )  # fmt: skip


def _label_colour(data: dict[str, Any], row: dict[str, Any], look: Look) -> Any:
    return look.ink if len(data["predictions"]) == 1 else fills_of(data, look)[row["prediction"]]


def _disc(frame: Frame, row: dict[str, Any]) -> Box:
    x, y = frame.at(row["operational_intensity"], row["performance"])
    radius = (area_of(row["share"]) ** 0.5) / 2
    return Box(x - radius, y - radius, x + radius, y + radius)


def _clusters(data: dict[str, Any], frame: Frame) -> list[list[dict[str, Any]]]:
    """Kernels by time that get a label, grouped where their points lie on each other."""
    clusters: list[list[dict[str, Any]]] = []
    for row in sorted(data["kernels"], key=lambda row: -row["share"]):
        if row["share"] < LARGE:
            continue
        place_of = frame.at(row["operational_intensity"], row["performance"])
        for cluster in clusters:
            lead = cluster[0]
            other = frame.at(lead["operational_intensity"], lead["performance"])
            alike = (lead["prediction"], lead["phase"]) == (row["prediction"], row["phase"])
            if alike and max(abs(a - b) for a, b in zip(place_of, other, strict=True)) < SMALL:
                cluster.append(row)
                break
        else:
            clusters.append([row])
    return clusters


def _cluster_text(data: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    names = [row["name"].removeprefix("layer.") for row in rows]
    rest = f" +{len(names) - 2}" if len(names) > 2 else ""
    device, share = prefix(data["devices"], rows[0]["device"]), sum(row["share"] for row in rows)
    phase = f"{rows[0]['phase']}: " if len(markers_of(data)) > 1 else ""
    return f"{device}{phase}{', '.join(names[:2])}{rest} {100 * share:.0f} %"


def _crossings(box: Box, data: dict[str, Any], frame: Frame) -> int:
    """Lines that a label would cover."""
    count = 0
    for device in data["devices"]:
        top = frame.at(1, device["ceilings"][0]["peak"])[1]
        for level in device["levels"]:
            height = (log10(level["bandwidth"]) + frame.x0 - frame.y0) * frame.scale  # of the line at the left edge
            count += box.bottom - box.right < height < box.top - box.left and box.bottom < top
        for ceiling in device["ceilings"]:
            x, y = frame.at(ceiling["peak"] / fastest(device), ceiling["peak"])
            count += box.bottom < y < box.top and box.right > x
    return count
