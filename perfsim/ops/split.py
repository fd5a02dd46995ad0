"""Cutting a tensor into parts along an axis."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensors, Work
from perfsim.quantities.numbers import Number

__all__ = ["Split"]


@dataclass(frozen=True, eq=False)
class Split(Operator):
    """Parts of inputs[0] along ``axis``, of the given ``sizes``; the parts are outputs in order."""

    sizes: tuple[Number, ...] = ()
    axis: int = 1

    kind = "split"
    reference = "torch.split"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        shape = list(tensors[self.inputs[0]].shape)
        return tuple((*shape[: self.axis], size, *shape[self.axis + 1 :]) for size in self.sizes)

    def work(self, tensors: Tensors) -> Work:
        return Work(0, self.unit, self.compute_dtype(tensors))
