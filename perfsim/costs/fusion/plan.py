"""A tile plan of one chain: its price beyond the operators' own work, as a kernel of the graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from perfsim.costs.fusion.footprint import Shapes, Tile
from perfsim.costs.fusion.tiles import Cuts
from perfsim.graph import TiledKernel
from perfsim.quantities.numbers import Number
from perfsim.quantities.units import DIMENSIONS, format_quantity

__all__ = ["TilePlan"]

BYTES = DIMENSIONS["capacity"]


@dataclass(frozen=True, eq=False)
class TilePlan:
    """How a chain is cut: rows and columns; images per tile; whether rows pass through rings; whether all weights stay.

    channels: worked on at a time; need: on chip [byte]; units: compute units of the device.
    """

    shapes: Shapes
    rows: Cuts
    columns: Cuts
    images: int
    ringed: bool
    resident: bool
    units: int
    channels: int = 0
    need: Number = 0

    @property
    def tiles(self) -> int:
        """Tiles of the whole batch."""
        return -(-self.shapes.batch // self.images) * self.rows.count * self.columns.count

    @property
    def idle(self) -> float:
        """Compute units over busy ones [1], where there are fewer tiles than units."""
        return max(1.0, self.units / self.tiles)

    @property
    def passes(self) -> int:
        """How often all weights are read: by every unit once, or by every step of every tile."""
        return min(self.units, self.tiles) if self.resident else self.tiles * self.rows.steps

    def touched(self, index: int) -> int:
        """Positions of a map of one image that all tiles together touch."""
        return self.rows.totals[index] * self.columns.totals[index]

    def overlap(self, index: int) -> float:
        """Positions touched over positions there are [1], at least 1."""
        return max(1.0, self.touched(index) / (self.shapes.rows[index] * self.shapes.columns[index]))

    @property
    def halo(self) -> Number:
        """Bytes of the source that are read again [byte]."""
        shapes = self.shapes
        return shapes.source * (self.overlap(0) - 1)

    @property
    def again(self) -> Number:
        """All bytes that are touched again [byte]."""
        return self.halo + self.shapes.stored * (self.passes - 1)

    @property
    def distance(self) -> Number:
        """Bytes between two touches of the same one [byte]: all weights, and what the busy units read and write."""
        shapes, rows, columns = self.shapes, self.rows.largest, self.columns.largest
        ends = rows[0] * columns[0] * shapes.channels[0] + rows[-1] * columns[-1] * shapes.channels[-1]
        return shapes.stored + min(self.units, self.tiles) * self.images * ends * shapes.width

    @property
    def tile(self) -> Tile:
        """What is on chip at once."""
        columns = self.columns.largest
        if not self.ringed:
            pairs = zip(self.rows.largest, columns, strict=True)
            return Tile(tuple(rows * width * self.images for rows, width in pairs), frozenset())
        chain = self.shapes.chain
        rows = list(self.rows.largest)
        for index, stage in chain.kept:
            behind = (extent - 1 - pad for extent, _, pad in (s.window(0) for s in chain.stages[index:stage]))
            rows[index] = min(self.shapes.rows[index], max(rows[index], self.rows.largest[-1] + sum(behind)))
        ringed = {index for index, stage in enumerate(chain.stages) if stage.spatial} | {i for i, _ in chain.kept}
        return Tile(tuple(r * c for r, c in zip(rows, columns, strict=True)), frozenset(ringed))

    @property
    def redo(self) -> tuple[float, ...]:
        """By stage the time of its arithmetic over that of its useful operations on all units [1]."""
        sizes = zip(self.rows.totals, self.columns.totals, self.shapes.rows, self.shapes.columns, strict=True)
        idle = self.idle
        return tuple(max(1.0, rows * columns / (height * width)) * idle for rows, columns, height, width in sizes)[1:]

    def kernel(self, scratchpad: Number, where: str) -> TiledKernel:
        """The kernel of the graph; scratchpad: capacity [byte] that it had, where: whose."""
        shapes, chain = self.shapes, self.shapes.chain
        redo = {name: factor for name, factor in zip(chain.operators, self.redo, strict=True) if factor > 1}
        reread = {name: size * (self.passes - 1) for name, size in shapes.weights.items() if self.passes > 1}
        if self.halo > 0:
            reread[chain.source] = self.halo
        text = tuple(self._lines(scratchpad, where))
        return TiledKernel(
            chain.name, chain.operators, redo, reread, self.distance, self.need, self._data(scratchpad), text
        )

    def _data(self, scratchpad: Number) -> dict[str, object]:
        overlaps = [self.overlap(index + 1) for index in range(len(self.shapes.chain.stages))]
        return {
            "strategy": "ring-buffer" if self.ringed else "recompute",
            "blocks": self.shapes.chain.blocks,
            "rows": min(self.rows.tile, self.shapes.rows[-1]),
            "columns": min(self.columns.tile, self.shapes.columns[-1]),
            "images": self.images,
            "channels": self.channels,
            "tiles": self.tiles,
            "weights": "resident" if self.resident else "streamed",
            "need": self.need,
            "scratchpad": scratchpad,
            "halo": self.overlap(0) - 1,
            "weight_passes": self.passes,
            "recompute": max(overlaps) - 1,
            "idle": self.idle,
        }

    def _lines(self, scratchpad: Number, where: str) -> Iterator[str]:
        data, shapes = self._data(scratchpad), self.shapes
        inside = len(shapes.chain.tensors) - 2
        yield (
            f"tiles   = {data['rows']} × {data['columns']} positions of {self.images} image(s), {self.tiles} for "
            f"{self.units} unit(s), up to {self.channels} channels at a time, {data['strategy']}"
        )
        yield f"on chip = {_bytes(self.need)} of {_bytes(scratchpad)} per unit ({where}); {inside} maps stay there"
        passes = f"weights {data['weights']}, read {self.passes} time(s)"
        yield f"again   = {100 * self.overlap(0) - 100:.3g} % of the source as halo; {passes}: {_bytes(self.again)}"
        redone = [(f, n) for f, n in zip(self.redo, shapes.chain.operators, strict=True) if f > 1]
        if redone:
            factor, name = max(redone)
            yield f"redone  = {len(redone)} operator(s) take longer, {name} most: × {factor:.3g} (halo, idle units)"


def _bytes(value: Number) -> str:
    return format_quantity(value, BYTES)
