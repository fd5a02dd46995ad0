"""Pooled table look-ups, as recommendation models do them."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Shape, Tensors, Work
from perfsim.ops.embedding import Embedding

__all__ = ["EmbeddingBag"]


@dataclass(frozen=True, eq=False)
class EmbeddingBag(Embedding):
    """Sums of rows of ``inputs[1]`` (entries, width) for indices ``inputs[0]`` (bags, rows per bag): (bags, width).

    Only the rows looked up are traffic; none of them is ever stored beside the others.

    References
    ----------
    .. [1] M. Naumov et al., "Deep Learning Recommendation Model", arXiv 1906.00091.
    """

    kind = "embedding-bag"
    reference = "torch.nn.EmbeddingBag; arXiv 1906.00091"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return ((tensors[self.inputs[0]].shape[0], tensors[self.inputs[1]].shape[-1]),)

    def work(self, tensors: Tensors) -> Work:
        """One addition per feature of every row after the first of its bag [FLOP]."""
        bags, rows = tensors[self.inputs[0]].shape
        return Work(bags * (rows - 1) * tensors[self.inputs[1]].shape[-1], self.unit, self.compute_dtype(tensors))
