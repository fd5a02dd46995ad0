"""Feature maps as sequences: rows and columns, each in both directions, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensors, Work

__all__ = ["CrossMerge", "CrossScan"]


@dataclass(frozen=True, eq=False)
class CrossScan(Operator):
    """(batch, channels, height, width) → (batch, positions, 4, channels): four orders in which a scan visits a map.

    References
    ----------
    .. [1] Y. Liu et al., "VMamba", arXiv 2401.10166, section 4.2.
    """

    kind = "cross-scan"
    reference = "arXiv 2401.10166"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, channels, *spatial = tensors[self.inputs[0]].shape
        return ((batch, math.prod(spatial), 4, channels),)

    def work(self, tensors: Tensors) -> Work:
        return Work(0, self.unit, self.compute_dtype(tensors))


@dataclass(frozen=True, eq=False)
class CrossMerge(Operator):
    """(batch, positions, 4, channels) → (batch, positions, channels): the four results of a position added up."""

    kind = "cross-merge"
    reference = "arXiv 2401.10166"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, positions, _, channels = tensors[self.inputs[0]].shape
        return ((batch, positions, channels),)

    def work(self, tensors: Tensors) -> Work:
        """Three additions per output [FLOP]."""
        flops = 3 * math.prod(self.output_shapes(tensors)[0])
        return Work(flops, self.unit, self.compute_dtype(tensors))
