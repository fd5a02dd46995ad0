"""Search for the nearest stored vectors."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, Role, Shape, Tensor, Tensors, Work
from perfsim.quantities.numbers import Number, minimum

__all__ = ["IndexScan"]


@dataclass(frozen=True, eq=False)
class IndexScan(Operator):
    """Distances of queries (batch, width) to ``probe`` of the vectors (count, width), and the best of them.

    Each query looks at its own part of the index, so ``batch`` queries read min(1, batch × probe) of it. The output
    (batch, kept) holds the positions of the best.

    References
    ----------
    .. [1] J. Johnson et al., "Billion-scale similarity search with GPUs", arXiv 1702.08734.
    """

    probe: float = 1.0
    kept: int = 1

    kind = "index-scan"
    reference = "arXiv 1702.08734"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return ((tensors[self.inputs[0]].shape[0], self.kept),)

    def work(self, tensors: Tensors) -> Work:
        """2·width per distance and one comparison per vector [FLOP], on the vector unit."""
        batch, width = tensors[self.inputs[0]].shape
        vectors = tensors[self.inputs[1]].shape[0]
        return Work(batch * vectors * self.probe * (2 * width + 1), self.unit, self.compute_dtype(tensors))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """The part of the index that the queries look at [byte]."""
        if tensor.role is not Role.WEIGHT:
            return tensor.nbytes
        return tensor.nbytes * minimum(1.0, tensors[self.inputs[0]].shape[0] * self.probe)
