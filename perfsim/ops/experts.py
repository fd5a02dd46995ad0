"""Mixture of experts: routed projections whose traffic depends on how many experts are touched."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.graph import MatrixShape, Operator, Shape, Tensor, Tensors, Unit, Work
from perfsim.quantities.numbers import Number, maximum

__all__ = ["Combine", "ExpertLinear", "TopK", "distinct_experts"]


def distinct_experts(*, experts: Number, top_k: Number, tokens: Number) -> Number:
    """Expected number of different experts that ``tokens`` tokens touch [1].

    Each token picks ``top_k`` of ``experts`` uniformly: an expert is missed by one token with
    probability 1 − top_k/experts, by all with that to the power of ``tokens``. Skewed routing touches
    fewer, so this is the upper end of the traffic.
    """
    return experts * (1 - (1 - top_k / experts) ** tokens)


@dataclass(frozen=True, eq=False)
class ExpertLinear(Operator):
    """Grouped matrix multiplication: each token times the matrices of its experts.

    inputs: features (batch, tokens, width), or (batch, tokens, top_k, width) behind a first expert
    projection, and weights (local experts, width, out). ``experts`` is the number over all devices.
    """

    top_k: int = 1
    experts: int = 1

    kind = "experts"
    unit = Unit.TENSOR
    reference = "arXiv 1701.06538"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, tokens = tensors[self.inputs[0]].shape[:2]
        return tuple((batch, tokens, self.top_k, tensors[w].shape[2]) for w in self.inputs[1:])

    def touched(self, tensors: Tensors) -> Number:
        """Expected number of local experts with at least one token [1]."""
        batch, tokens = tensors[self.inputs[0]].shape[:2]
        local = tensors[self.inputs[1]].shape[0]
        return distinct_experts(experts=self.experts, top_k=self.top_k, tokens=batch * tokens) * local / self.experts

    def work(self, tensors: Tensors) -> Work:
        """2·rows·n·k [FLOP]; rows = tokens·top_k, divided evenly over the devices that share the experts."""
        batch, tokens = tensors[self.inputs[0]].shape[:2]
        local, inner, _ = tensors[self.inputs[1]].shape
        columns = sum(tensors[w].shape[2] for w in self.inputs[1:])
        rows = (
            batch * tokens * self.top_k * local / self.experts if local != self.experts else batch * tokens * self.top_k
        )
        touched = self.touched(tensors)
        matrix = MatrixShape(maximum(touched, 1), rows / maximum(touched, 1), columns, inner)
        return Work(2 * rows * columns * inner, self.unit, self.compute_dtype(tensors), matrix)

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """Weights: only touched experts [byte]; features: the rows of local experts."""
        local = tensors[self.inputs[1]].shape[0]
        if tensor.name in self.inputs[1:]:
            return tensor.nbytes * (self.touched(tensors) / local)
        return tensor.nbytes if local == self.experts else tensor.nbytes * local / self.experts

    def partial_output(self, tensors: Tensors) -> bool:
        """Cut experts sum over their inner width; whole ones lack rows, which counts behind the last projection."""
        last = len(tensors[self.inputs[0]].shape) == 4
        return any(tensors[w].shard == 1 or (last and tensors[w].shape[0] != self.experts) for w in self.inputs[1:])

    def partial_gradient(self, name: str, tensors: Tensors) -> bool:
        """Of the features in front of the experts: cut or missing experts leave out what came through them."""
        first = name == self.inputs[0] and len(tensors[name].shape) == 3
        return first and any(tensors[w].shard == 2 or tensors[w].shape[0] != self.experts for w in self.inputs[1:])


@dataclass(frozen=True, eq=False)
class TopK(Operator):
    """Softmax (or sigmoid) over router logits and choice of the best ``top_k``: weights per token."""

    top_k: int = 1

    kind = "top-k"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return ((*tensors[self.inputs[0]].shape[:-1], self.top_k),)

    def work(self, tensors: Tensors) -> Work:
        """5 operations per logit for the softmax, 1 comparison per logit and choice [FLOP]."""
        return Work((5 + self.top_k) * tensors[self.inputs[0]].elements, self.unit, self.compute_dtype(tensors))


@dataclass(frozen=True, eq=False)
class Combine(Operator):
    """Weighted sum over the experts of a token: (batch, tokens, top_k, width) → (batch, tokens, width)."""

    kind = "combine"
    linear = True

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, tokens, _, width = tensors[self.inputs[0]].shape
        return ((batch, tokens, width),)

    def work(self, tensors: Tensors) -> Work:
        return Work(2 * math.prod(tensors[self.inputs[0]].shape), self.unit, self.compute_dtype(tensors))
