"""Experts of which only some lie in memory at a time."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import MatrixShape, Tensor, Tensors, Work
from perfsim.ops.experts import ExpertLinear, distinct_experts
from perfsim.quantities.numbers import Number, maximum

__all__ = ["PagedExpertLinear"]


@dataclass(frozen=True, eq=False)
class PagedExpertLinear(ExpertLinear):
    """A projection of experts whose weights (slots, width, out) are the slots of a cache of experts.

    The work and the bytes read are those of all experts that the tokens touch, wherever they came from.
    """

    reference = "arXiv 2308.14352"

    def touched(self, tensors: Tensors) -> Number:
        """Expected number of experts with at least one token [1]."""
        batch, tokens = tensors[self.inputs[0]].shape[:2]
        return distinct_experts(experts=self.experts, top_k=self.top_k, tokens=batch * tokens)

    def work(self, tensors: Tensors) -> Work:
        """2·rows·n·k [FLOP]; rows = tokens·top_k."""
        batch, tokens = tensors[self.inputs[0]].shape[:2]
        _, inner, _ = tensors[self.inputs[1]].shape
        columns = sum(tensors[w].shape[2] for w in self.inputs[1:])
        rows, touched = batch * tokens * self.top_k, maximum(self.touched(tensors), 1)
        matrix = MatrixShape(touched, rows / touched, columns, inner)
        return Work(2 * rows * columns * inner, self.unit, self.compute_dtype(tensors), matrix)

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        if tensor.name in self.inputs[1:]:
            return tensor.nbytes * (self.touched(tensors) / tensor.shape[0])
        return tensor.nbytes

    def partial_output(self, tensors: Tensors) -> bool:
        return False
