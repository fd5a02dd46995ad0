"""Between feature maps and tokens: the same numbers in another order."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensors, Work
from perfsim.quantities.numbers import Number

__all__ = ["JoinHeads", "Rearrange", "ToMap", "ToTokens"]


@dataclass(frozen=True, eq=False)
class ToTokens(Operator):
    """(batch, channels, *spatial) → (batch, positions, channels), or (batch, positions, heads, channels / heads)."""

    heads: int = 0

    kind = "to-tokens"
    reference = "torch.flatten, torch.transpose"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, channels, *spatial = tensors[self.inputs[0]].shape
        places = math.prod(spatial)
        return ((batch, places, self.heads, channels // self.heads) if self.heads else (batch, places, channels),)

    def work(self, tensors: Tensors) -> Work:
        return Work(0, self.unit, self.compute_dtype(tensors))


@dataclass(frozen=True, eq=False)
class ToMap(Operator):
    """(batch, positions, *width) → (batch, channels, *spatial) with the sizes ``spatial``."""

    spatial: tuple[Number, ...] = ()

    kind = "to-map"
    reference = "torch.transpose, torch.reshape"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, _, *width = tensors[self.inputs[0]].shape
        return ((batch, math.prod(width), *self.spatial),)

    def work(self, tensors: Tensors) -> Work:
        return Work(0, self.unit, self.compute_dtype(tensors))


@dataclass(frozen=True, eq=False)
class JoinHeads(Operator):
    """(batch, positions, heads, dim) → (batch, positions, heads · dim)."""

    kind = "join-heads"
    reference = "torch.flatten"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, places, heads, dim = tensors[self.inputs[0]].shape
        return ((batch, places, heads * dim),)

    def work(self, tensors: Tensors) -> Work:
        return Work(0, self.unit, self.compute_dtype(tensors))


@dataclass(frozen=True, eq=False)
class Rearrange(Operator):
    """The same elements in the ``shape`` given, e.g. a map cut into patches; one copy, where views do not do."""

    shape: tuple[Number, ...] = ()

    kind = "rearrange"
    reference = "torch.permute, torch.reshape"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (self.shape,)

    def work(self, tensors: Tensors) -> Work:
        return Work(0, self.unit, self.compute_dtype(tensors))
