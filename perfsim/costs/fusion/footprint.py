"""What a tile of a chain needs on chip at its worst moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from perfsim.costs.fusion.chain import Chain
from perfsim.graph import Tensors
from perfsim.quantities.numbers import Number

__all__ = ["Shapes", "Tile", "need", "shapes_of"]

LEAST_CHANNELS = 16
"""Fewest channels worked on at a time: one fragment of a matrix unit."""


@dataclass(frozen=True, eq=False)
class Shapes:
    """Sizes of a chain: images; by map channels, rows and columns; bytes of an element; bytes of each weight."""

    chain: Chain
    batch: int
    channels: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    width: Number
    weights: dict[str, Number]

    @cached_property
    def stored(self) -> Number:
        """All weights [byte]."""
        return sum(self.weights.values())

    @cached_property
    def source(self) -> Number:
        """The source map [byte]."""
        return self.batch * self.channels[0] * self.rows[0] * self.columns[0] * self.width

    @cached_property
    def segments(self) -> tuple[tuple[int, ...], ...]:
        """Indices of the maps between dense stages: within a segment every channel goes its own way."""
        parts: list[list[int]] = [[0]]
        for index, stage in enumerate(self.chain.stages):
            if stage.dense:
                parts.append([])
            parts[-1].append(index + 1)
        return tuple(tuple(part) for part in parts)

    def segment_of(self, index: int) -> int:
        """The segment of a map."""
        return next(at for at, part in enumerate(self.segments) if index in part)

    @cached_property
    def group(self) -> int:
        """Fewest channels that can be worked on at a time."""
        return max(LEAST_CHANNELS, *(stage.group for stage in self.chain.stages))


@dataclass(frozen=True)
class Tile:
    """Positions of every map that are on chip at once; ringed: maps whose last rows stay there between steps."""

    areas: tuple[int, ...]
    ringed: frozenset[int]


def shapes_of(chain: Chain, tensors: Tensors) -> Shapes:
    """Sizes of a chain as whole numbers."""
    shapes = [tensors[name].shape for name in chain.tensors]
    batch, channels, rows, columns = zip(*(tuple(int(n) for n in shape) for shape in shapes), strict=True)
    weights = {name: tensors[name].nbytes for name in chain.weights}
    return Shapes(chain, batch[0], channels, rows, columns, tensors[chain.source].dtype.nbytes(1), weights)


def need(shapes: Shapes, tile: Tile, channels: int, resident: bool) -> Number:
    """Bytes on chip [byte]: maps at the worst moment, rings, maps kept for a residual, and weights.

    channels: how many channels of a segment are made and used up at a time, where its channels go their own way and
    its neighbours are there as a whole; resident: whether all weights stay, or pass through slice by slice. Sums are
    held in the number format of the maps; nothing is held twice to hide its transfer.
    """
    rings = sum(tile.areas[index] * shapes.channels[index] for index in tile.ringed)
    maps = rings + max(_moments(shapes, tile, channels))
    weights = shapes.stored if resident else _slice(shapes, channels)
    return maps * shapes.width + weights


def _slice(shapes: Shapes, channels: int) -> Number:
    """The largest piece of weights that is there while ``channels`` channels are worked on."""
    pieces: list[Number] = [0]
    for index, stage in enumerate(shapes.chain.stages):
        most = max(shapes.channels[index], shapes.channels[index + 1])
        pieces.append(sum(shapes.weights[name] for name in stage.weights) * min(1, channels / most))
    return max(pieces)


def _moments(shapes: Shapes, tile: Tile, channels: int) -> Iterator[Number]:
    """Elements that are there while each segment is turned into the next whole one."""
    segments = shapes.segments
    sliced = _sliced(shapes, tile)
    held = [_held(shapes, tile, part, channels if at in sliced else None) for at, part in enumerate(segments)]
    for first, last in _windows(len(segments), sliced):
        beside = _waiting(shapes, tile, first, last) + _beside(shapes, tile, first, last, channels)
        yield sum(held[first : last + 1]) + beside


def _windows(count: int, sliced: frozenset[int]) -> Iterator[tuple[int, int]]:
    """First and last of the segments that are on chip together: a whole one, what is sliced, and the next whole one."""
    at = 0
    if 0 in sliced:
        yield 0, 1
        at = 1
    while True:
        last = min(at + (2 if at + 1 in sliced else 1), count - 1)
        yield at, last
        if last == count - 1:
            return
        at = last


def _held(shapes: Shapes, tile: Tile, part: tuple[int, ...], limit: int | None) -> int:
    """Elements of a segment: its largest map, or source and result of a window; maps in rings are counted there."""
    most = 0
    for index in part:
        width = shapes.channels[index] if limit is None else min(shapes.channels[index], max(limit, shapes.group))
        here = 0 if index in tile.ringed else tile.areas[index] * width
        windowed = index + 1 in part and shapes.chain.stages[index].spatial
        most = max(most, here + (tile.areas[index + 1] * width if windowed and index + 1 not in tile.ringed else 0))
    return most


def _waiting(shapes: Shapes, tile: Tile, first: int, last: int) -> int:
    """Elements of maps from earlier segments that a later addition still needs."""
    elements = 0
    for index, stage in shapes.chain.kept:
        made = shapes.segment_of(index)
        before = made < first <= shapes.segment_of(stage)
        lost = first <= made <= last and _overwritten(shapes, index)
        if index not in tile.ringed and (before or lost):
            elements += tile.areas[stage] * shapes.channels[index]
    return elements


def _overwritten(shapes: Shapes, index: int) -> bool:
    """Whether work position by position takes the place of a map."""
    stages = shapes.chain.stages
    return index < len(stages) and not stages[index].dense and not stages[index].spatial


def _beside(shapes: Shapes, tile: Tile, first: int, last: int, channels: int) -> int:
    """Elements of maps from outside that are added, a slice of channels at a time."""
    outside = set(shapes.chain.outside)
    return sum(
        tile.areas[at + 1] * min(channels, shapes.channels[at + 1])
        for at, stage in enumerate(shapes.chain.stages)
        if outside.intersection(stage.sides) and first <= shapes.segment_of(at + 1) <= last
    )


def _sliced(shapes: Shapes, tile: Tile) -> frozenset[int]:
    """Segments made and used up slice by slice: no two neighbours, the largest ones, none that must be whole."""
    segments = shapes.segments
    weights = [_held(shapes, tile, part, None) if _may_slice(shapes, tile, part) else 0 for part in segments]
    best: list[tuple[int, frozenset[int]]] = [(0, frozenset()), (0, frozenset())]
    for at, weight in enumerate(weights):
        taken = (best[-2][0] + weight, best[-2][1] | {at}) if weight else best[-1]
        best.append(taken if taken[0] > best[-1][0] else best[-1])
    return best[-1][1] if len(segments) > 1 else frozenset()


def _may_slice(shapes: Shapes, tile: Tile, part: tuple[int, ...]) -> bool:
    stages = shapes.chain.stages
    kept = {index for index, _ in shapes.chain.kept}
    if any(index in tile.ringed or index in kept for index in part):
        return False
    return not any(stages[index].whole for index in part if index + 1 in part)
