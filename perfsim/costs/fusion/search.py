"""Searching the tile plan of a chain that takes least time within a scratchpad."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from perfsim.costs.fusion.chain import Chain
from perfsim.costs.fusion.footprint import LEAST_CHANNELS, Shapes, need, shapes_of
from perfsim.costs.fusion.plan import TilePlan
from perfsim.costs.fusion.price import Price
from perfsim.costs.fusion.tiles import Cuts, Window, ring, tile_sizes, tiled
from perfsim.devices import Stack, System
from perfsim.graph import OperatorGraph
from perfsim.quantities.numbers import Number

__all__ = ["RECOMPUTE", "RING_BUFFER", "Limits", "Search", "search"]

RECOMPUTE, RING_BUFFER = "recompute", "ring-buffer"


@dataclass(frozen=True)
class Limits:
    """What a plan may be.

    scratchpad: capacity of each of ``units`` compute units [byte]; strategies: of :data:`RECOMPUTE` and
    :data:`RING_BUFFER`; rows, columns, channels: of a tile, 0 for searched.
    """

    scratchpad: Number
    units: int
    strategies: tuple[str, ...] = (RECOMPUTE, RING_BUFFER)
    rows: int = 0
    columns: int = 0
    channels: int = 0


@dataclass(frozen=True, eq=False)
class Search:
    """What a search found.

    plan: the one that fits and takes least time, None if none fits; runtime: its time [s]; least: the smallest need
    of all plans [byte].
    """

    plan: TilePlan | None
    runtime: float
    least: Number


def search(
    chain: Chain, graph: OperatorGraph, system: System, stack: Stack, limits: Limits, main: Number | None = None
) -> Search:
    """The plan of ``chain`` that takes least time within ``limits``; of equal ones that which moves fewer bytes.

    main: bytes that main memory has to serve once [byte], where a cache serves the rest; by default all.

    Every number of tiles per axis is tried, so within this space the answer is exact; a larger scratchpad only adds
    plans, so it is never worse.
    """
    shapes = shapes_of(chain, graph.tensors)
    price = Price.of(chain, graph, system, stack, main)
    best: TilePlan | None = None
    best_rank: tuple[float, Number] = (float("inf"), 0)
    least: Number = float("inf")
    for plan in _plans(shapes, limits):
        rank = (price.runtime(plan), plan.again)
        if best is not None and rank >= best_rank:
            continue
        fitted, smallest = _fitted(plan, limits)
        least = min(least, smallest)
        if fitted is not None:
            best, best_rank = fitted, rank
    return Search(best, best_rank[0], least)


def _plans(shapes: Shapes, limits: Limits) -> Iterator[TilePlan]:
    """All cuts of a chain; how many channels at a time is settled later."""
    windows = [tuple(stage.window(axis) for stage in shapes.chain.stages) for axis in (0, 1)]
    columns = _cuts(tiled, windows[1], shapes.columns, limits.columns)
    for strategy in limits.strategies:
        ringed = strategy == RING_BUFFER
        for row in _cuts(ring if ringed else tiled, windows[0], shapes.rows, limits.rows):
            for column in columns:
                single = row.count == 1 and column.count == 1 and not ringed
                for images in _powers(shapes.batch) if single else (1,):
                    for resident in (True, False):
                        yield TilePlan(shapes, row, column, images, ringed, resident, limits.units)


def _cuts(
    cut: Callable[[tuple[Window, ...], tuple[int, ...], int], Cuts], windows: tuple[Window, ...],
    sizes: tuple[int, ...], fixed: int,
) -> tuple[Cuts, ...]:  # fmt: skip
    tiles = (min(fixed, sizes[-1]),) if fixed else tile_sizes(sizes[-1])
    return tuple(cut(windows, sizes, tile) for tile in tiles)


def _powers(most: int) -> Iterator[int]:
    size = 1
    while size <= most:
        yield size
        size *= 2


def _fitted(plan: TilePlan, limits: Limits) -> tuple[TilePlan | None, Number]:
    """The plan with the most channels at a time that fits, None if none does; and the need with the fewest."""
    sizes = (limits.channels,) if limits.channels else tuple(_channel_sizes(plan.shapes))
    smallest = need(plan.shapes, plan.tile, sizes[-1], plan.resident)
    if smallest > limits.scratchpad:
        return None, smallest
    for channels in sizes:
        size = need(plan.shapes, plan.tile, channels, plan.resident)
        if size <= limits.scratchpad:
            return replace(plan, channels=channels, need=size), smallest
    return None, smallest


def _channel_sizes(shapes: Shapes) -> Iterator[int]:
    """All channels, then powers of two below, down to one fragment."""
    most = max(shapes.channels)
    yield most
    size = 1 << ((most - 1).bit_length() - 1) if most > 1 else 1
    while size >= LEAST_CHANNELS:
        yield size
        size //= 2
