"""What is done to a cache behind its back: importance of its entries, keeping some of them, turning their keys."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import MatrixShape, Operator, Shape, Tensor, Tensors, Unit, Work
from perfsim.quantities.numbers import Number, minimum

__all__ = ["CompactCache", "ObservedScores", "RotateCache"]


@dataclass(frozen=True, eq=False)
class ObservedScores(Operator):
    """Importance of every position: what the last ``observed`` queries give it, summed over them.

    inputs: queries, keys. output: (batch, kv_heads, context). A fused kernel leaves no scores, so they are computed
    again for these queries.

    References
    ----------
    .. [1] Y. Li et al., "SnapKV", arXiv 2404.14469.
    """

    context: Number = 0
    observed: Number = 1

    kind = "observed-scores"
    unit = Unit.TENSOR
    efficiency = "attention_efficiency"
    reference = "arXiv 2404.14469"

    def _queries(self, tensors: Tensors) -> Number:
        return minimum(self.observed, tensors[self.inputs[0]].shape[1])

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return ((tensors[self.inputs[0]].shape[0], tensors[self.inputs[1]].shape[2], self.context),)

    def work(self, tensors: Tensors) -> Work:
        """2·batch·observed·heads·context·key_dim [FLOP]."""
        batch, _, heads, dim = tensors[self.inputs[0]].shape
        rows = self._queries(tensors)
        flops = 2 * batch * rows * heads * self.context * dim
        return Work(flops, self.unit, self.compute_dtype(tensors), MatrixShape(batch * heads, rows, self.context, dim))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """Of the queries the observed ones, of the keys all positions [byte]."""
        if tensor.name not in self.inputs:
            return tensor.nbytes
        positions = self._queries(tensors) if tensor.name == self.inputs[0] else self.context
        batch, _, heads, dim = tensor.shape
        return tensor.dtype.nbytes(batch * positions * heads * dim)


@dataclass(frozen=True, eq=False)
class CompactCache(Operator):
    """Copies the kept entries of caches together; inputs: scores, caches (batch, kept, ...). Nothing is produced."""

    kind = "compact-cache"
    reference = "arXiv 2404.14469"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return ()

    def work(self, tensors: Tensors) -> Work:
        """One comparison per score [FLOP]."""
        return Work(tensors[self.inputs[0]].elements, self.unit, self.compute_dtype(tensors))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """Kept entries are read and written [byte]."""
        return tensor.nbytes if tensor.name == self.inputs[0] else 2 * tensor.nbytes


@dataclass(frozen=True, eq=False)
class RotateCache(Operator):
    """Turns ``share`` of the stored keys to new positions, in place.

    References
    ----------
    .. [1] Z. He et al., "Let the Code LLM Edit Itself When You Edit the Code", arXiv 2407.03157.
    """

    share: float = 1.0

    kind = "rotate-cache"
    reference = "arXiv 2407.03157"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return ()

    def work(self, tensors: Tensors) -> Work:
        """3 operations per element, as rotary embedding [FLOP]."""
        return Work(3 * self.share * tensors[self.inputs[0]].elements, self.unit, self.compute_dtype(tensors))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """Read and written [byte]."""
        return 2 * self.share * tensor.nbytes
