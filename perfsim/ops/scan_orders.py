"""Feature maps as sequences: rows and columns, each in both directions, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensors, Work
from perfsim.quantities.numbers import Number, ceil_div

__all__ = ["CrossMerge", "CrossScan"]


@dataclass(frozen=True, eq=False)
class CrossScan(Operator):
    """(batch, channels, height, width) → (batch, positions, 4, channels): four orders in which a scan visits a map.

    step: each order visits every ``step``-th row and column only, the four of step 2 different ones.

    References
    ----------
    .. [1] Y. Liu et al., "VMamba", arXiv 2401.10166, section 4.2. [2] X. Pei et al., arXiv 2403.09977 (steps).
    """

    step: int = 1

    kind = "cross-scan"
    reference = "arXiv 2401.10166"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, channels, *spatial = tensors[self.inputs[0]].shape
        return ((batch, math.prod(ceil_div(n, self.step) for n in spatial), 4, channels),)

    def work(self, tensors: Tensors) -> Work:
        return Work(0, self.unit, self.compute_dtype(tensors))


@dataclass(frozen=True, eq=False)
class CrossMerge(Operator):
    """(batch, positions, 4, channels) → (batch, positions, channels): the four results of a position added up.

    positions: of the map, where the orders visited a part of it each; their results then lie side by side.
    """

    positions: Number = 0

    kind = "cross-merge"
    reference = "arXiv 2401.10166"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, positions, _, channels = tensors[self.inputs[0]].shape
        return ((batch, self.positions or positions, channels),)

    def work(self, tensors: Tensors) -> Work:
        """Three additions per output [FLOP]; none where each output has one source."""
        flops = 0 if self.positions else 3 * math.prod(self.output_shapes(tensors)[0])
        return Work(flops, self.unit, self.compute_dtype(tensors))
