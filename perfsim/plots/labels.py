"""Where labels go so that none hides another label or a point. Plain geometry, in any one unit of length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import hypot

__all__ = ["Box", "leader", "place", "spread"]


@dataclass(frozen=True)
class Box:
    """A rectangle from (left, bottom) to (right, top)."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: Box) -> bool:
        """Whether the two share any area."""
        return (
            self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top
        )

    def inside(self, other: Box) -> bool:
        """Whether this box lies in ``other``."""
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.bottom >= other.bottom
            and self.top <= other.top
        )


def spread(wished: Sequence[float], gap: float | Sequence[float], low: float, high: float) -> list[float]:
    """Centres near ``wished``, in the same order; from ``low`` to ``high`` if they fit.

    gap: the least distance of two, or the extent of each, which then lies between ``low`` and ``high`` as a whole.
    """
    if not isinstance(gap, Sequence):
        return spread([*wished], [gap] * len(wished), low - gap / 2, high + gap / 2)
    order = sorted(range(len(wished)), key=lambda i: wished[i])
    groups: list[tuple[float, float, list[int]]] = []  # centre, extent, members
    for index in order:
        groups.append((_within(wished[index], gap[index], low, high), gap[index], [index]))
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < (groups[-1][1] + groups[-2][1]) / 2:
            (above, more, last), (below, some, first) = groups.pop(), groups.pop()
            centre = (above * len(last) + below * len(first)) / (len(last) + len(first))
            groups.append((_within(centre, more + some, low, high), more + some, [*first, *last]))
    result = [0.0] * len(wished)
    for centre, extent, members in groups:
        edge = centre - extent / 2
        for index in members:
            result[index] = edge + gap[index] / 2
            edge += gap[index]
    return result


def _within(centre: float, extent: float, low: float, high: float) -> float:
    """The nearest centre with which the extent lies between ``low`` and ``high``; at ``low`` if it does not fit."""
    return max(min(centre, high - extent / 2), low + extent / 2)


_DIRECTIONS = ((1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1))


def place(
    anchor: tuple[float, float],
    size: tuple[float, float],
    reach: float,
    taken: Sequence[Box],
    room: Box,
    crossings: Callable[[Box], int],
    points: Sequence[tuple[float, float]] = (),
    leaders: Sequence[Sequence[Box]] = (),
) -> tuple[Box, bool]:
    """A box of ``size`` near ``anchor``: clear of ``taken``, inside ``room``, over few lines.

    reach: smallest distance from the anchor, the radius of its point; crossings: lines that a box would cover; points:
    what a reader might take it for. The second result says whether the box needs a line to its anchor: it is far away,
    or some other point is about as near. Such a line should not run over what is taken, nor a box over ``leaders``.
    """
    (x, y), (width, height) = anchor, size
    best: tuple[float, Box, bool] | None = None
    for step in range(12):
        distance = reach + height * (0.25 + 0.9 * step)
        for dx, dy in _DIRECTIONS:
            slant = 0.75 if dx and dy else 1.0
            centre_x = x + dx * (distance * slant + width / 2)
            centre_y = y + dy * (distance * slant + height / 2)
            centre_x = _within(centre_x, width, room.left, room.right) if dy else centre_x
            box = Box(centre_x - width / 2, centre_y - height / 2, centre_x + width / 2, centre_y + height / 2)
            clashes = sum(box.overlaps(other) for other in taken)
            far = step > 1 or _doubtful(box, anchor, points)
            line = leader(anchor, box) if far else []
            blocked = sum(any(spot.overlaps(b) for spot in line) for b in taken if line and not _on(b, anchor))
            blocked += 8 * sum(any(spot.overlaps(box) for spot in other) for other in leaders)
            score = 100.0 * clashes + (0 if box.inside(room) else 1000.0) + 3.0 * crossings(box) + 2.0 * step
            score += 9.0 * blocked + 2.0 * far
            if best is None or score < best[0]:
                best = (score, box, far)
    assert best is not None
    return best[1], best[2]


def leader(anchor: tuple[float, float], box: Box) -> list[Box]:
    """Small boxes along the line from ``anchor`` to the centre of ``box``, up to its edge."""
    (x, y), centre = anchor, ((box.left + box.right) / 2, (box.bottom + box.top) / 2)
    steps = [(x + i / 24 * (centre[0] - x), y + i / 24 * (centre[1] - y)) for i in range(25)]
    return [Box(a - 0.5, b - 0.5, a + 0.5, b + 0.5) for a, b in steps if not _on(box, (a, b))]


def _on(box: Box, spot: tuple[float, float]) -> bool:
    return box.left <= spot[0] <= box.right and box.bottom <= spot[1] <= box.top


def _doubtful(box: Box, anchor: tuple[float, float], points: Sequence[tuple[float, float]]) -> bool:
    """Whether another point is not clearly farther from ``box`` than its ``anchor``."""
    near = 2.0 * _distance(box, anchor) + 2.0
    return any(_distance(box, point) < near for point in points if point != anchor)


def _distance(box: Box, spot: tuple[float, float]) -> float:
    """Distance of a spot from the edge of a box; zero inside."""
    x, y = spot
    return hypot(max(box.left - x, 0, x - box.right), max(box.bottom - y, 0, y - box.top))
