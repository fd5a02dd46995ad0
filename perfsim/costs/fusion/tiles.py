"""Cutting a map into tiles: what each tile reads and computes of every map of a chain, along one axis, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

__all__ = ["Cuts", "Window", "ring", "tile_sizes", "tiled"]

Window = tuple[int, int, int]
"""Extent of a stage's window, its step, and the padding in front of the map."""


@dataclass(frozen=True)
class Cuts:
    """One axis of a chain of maps, cut for a tile of the last one.

    tile: positions of the last map per tile; count: tiles; steps: parts in which a tile is worked off; totals: by map
    the positions that all tiles together touch; largest: by map the positions that are on chip at once.
    """

    tile: int
    count: int
    steps: int
    totals: tuple[int, ...]
    largest: tuple[int, ...]


def tile_sizes(size: int) -> tuple[int, ...]:
    """Every tile size worth a look for ``size`` positions: the smallest one for each number of tiles, largest first."""
    return tuple(sorted({-(-size // count) for count in range(1, size + 1)}, reverse=True))


@lru_cache(maxsize=1 << 14)
def tiled(windows: tuple[Window, ...], sizes: tuple[int, ...], tile: int) -> Cuts:
    """Cuts in which neighbouring tiles share nothing: each reads its halo, and computes its part of it again.

    windows: of each stage; sizes: positions of each map, one more than stages. Positions beyond an edge are not read.
    """
    totals, largest = [0] * len(sizes), [0] * len(sizes)
    starts = range(0, sizes[-1], tile)
    for start in starts:
        low, high = start, min(start + tile, sizes[-1])
        for index in range(len(sizes) - 1, -1, -1):
            totals[index] += high - low
            largest[index] = max(largest[index], high - low)
            if index:
                extent, step, pad = windows[index - 1]
                low, high = max(0, low * step - pad), min(sizes[index - 1], (high - 1) * step - pad + extent)
    return Cuts(tile, len(starts), 1, tuple(totals), tuple(largest))


@lru_cache(maxsize=1 << 14)
def ring(windows: tuple[Window, ...], sizes: tuple[int, ...], tile: int) -> Cuts:
    """One tile of the whole axis, worked off ``tile`` positions at a time; the last ones of every map stay on chip.

    Nothing is read or computed twice. On chip is, of every map, the window that makes the next new positions.
    """
    new = min(tile, sizes[-1])
    largest = [new]
    for index in range(len(sizes) - 2, -1, -1):
        extent, step, _ = windows[index]
        largest.append(min(sizes[index], (new - 1) * step + extent))
        new = min(sizes[index], new * step)
    return Cuts(tile, 1, -(-sizes[-1] // tile), sizes, tuple(reversed(largest)))
