"""Attention to a part of the visible positions, and how that part is found: scores of blocks of keys."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import MatrixShape, Operator, Shape, Tensors, Unit, Work
from perfsim.ops.attention import FusedAttention, visible_pairs_twice
from perfsim.quantities.dtypes import DType
from perfsim.quantities.numbers import Number, ceil_div, maximum, minimum

__all__ = ["BlockScores", "ChooseBlocks", "PoolBlocks", "SparseAttention", "attended_pairs_twice"]


def attended_pairs_twice(*, tokens: Number, context: Number, budget: Number, share: Number) -> Number:
    """Twice the (query, key) pairs that are left if a query that sees c positions attends to min(c, budget + share·c).

    The i-th of ``tokens`` new queries sees c = context − tokens + i positions; below budget / (1 − share) of them it
    attends to all, above to budget + share·c. budget [positions]; share [1], below 1.
    """
    full = budget / (1 - share)
    beyond = minimum(maximum(context - full, 0), tokens)
    rest, rest_context = tokens - beyond, context - beyond
    return rest * (2 * rest_context - rest + 1) + beyond * (2 * budget + share * (2 * context - beyond + 1))


@dataclass(frozen=True, eq=False)
class SparseAttention(FusedAttention):
    """Fused attention in which a query attends to min(visible, ``budget`` + ``share`` · visible) positions.

    inputs: as for the fused kernel, the chosen blocks among the tables. block: positions that are taken together, for
    queries and keys; rate: of the kernel per pair over that of the dense one [1]; it never takes longer than computing
    all pairs. A block of queries reads its positions of keys and values; all blocks together at most all of them.

    References
    ----------
    .. [1] J. Tang et al., "Quest", arXiv 2406.10774. [2] R. Child et al., arXiv 1904.10509.
    """

    budget: Number = 0
    share: float = 0.0
    block: int = 1
    rate: float = 1.0

    kind = "sparse-attention"
    reference = "arXiv 1904.10509"

    def work(self, tensors: Tensors) -> Work:
        """As the dense kernel for the pairs that are left [FLOP]."""
        dense = super().work(tensors)
        tokens = tensors[self.inputs[0]].shape[1]
        if self.causal:
            total = visible_pairs_twice(tokens=tokens, context=self.context)
            pairs = attended_pairs_twice(tokens=tokens, context=self.context, budget=self.budget, share=self.share)
        else:
            total, pairs = 2 * tokens * self.context, 2 * tokens * self._attended()
        kept = pairs / total
        return Work(dense.flops * kept, dense.unit, dense.dtype, dense.matrix, minimum(1 / self.rate, 1 / kept))

    def _attended(self) -> Number:
        """Positions of the last query [1]."""
        return minimum(self.context, self.budget + self.share * self.context)

    def touched(self, tensors: Tensors) -> Number:
        """The chosen positions of all blocks of queries [1]."""
        query_blocks = ceil_div(tensors[self.inputs[0]].shape[1], self.block)
        return minimum(self.context, self._attended() * query_blocks)


@dataclass(frozen=True, eq=False)
class PoolBlocks(Operator):
    """``vectors`` summaries (mean, or minimum and maximum) of every ``block`` positions.

    (batch, positions, heads, dim) → (batch, blocks, heads, vectors · dim).
    """

    block: int = 1
    vectors: int = 1

    kind = "pool-blocks"
    reference = "arXiv 2406.10774"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, positions, heads, dim = tensors[self.inputs[0]].shape
        return ((batch, ceil_div(positions, self.block), heads, self.vectors * dim),)

    def work(self, tensors: Tensors) -> Work:
        """One operation per element and summary [FLOP]."""
        elements = tensors[self.inputs[0]].elements
        return Work(self.vectors * elements, self.unit, self.compute_dtype(tensors))


@dataclass(frozen=True, eq=False)
class BlockScores(Operator):
    """Queries (batch, query blocks, heads, dim) against summaries (batch, blocks, kv_heads, vectors · dim).

    output: (batch, query blocks, kv_heads, blocks), scores added over the query heads of a group.
    """

    kind = "block-scores"
    unit = Unit.TENSOR
    efficiency = "attention_efficiency"
    reference = "arXiv 2406.10774, algorithm 1"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, queries = tensors[self.inputs[0]].shape[:2]
        _, blocks, kv_heads, _ = tensors[self.inputs[1]].shape
        return ((batch, queries, kv_heads, blocks),)

    def work(self, tensors: Tensors) -> Work:
        """2·batch·query blocks·heads·blocks·vectors·dim [FLOP]."""
        batch, queries, heads, _ = tensors[self.inputs[0]].shape
        _, blocks, kv_heads, width = tensors[self.inputs[1]].shape
        matrix = MatrixShape(batch * kv_heads, queries * heads / kv_heads, blocks, width)
        flops = 2 * batch * queries * heads * blocks * width
        return Work(flops, self.unit, self.compute_dtype(tensors), matrix)


@dataclass(frozen=True, eq=False)
class ChooseBlocks(Operator):
    """The best ``kept`` of the scored blocks, as numbers: (batch, query blocks, heads, blocks) → the same, ``kept``."""

    kept: Number = 1

    kind = "choose-blocks"
    reference = "arXiv 2406.10774"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return ((*tensors[self.inputs[0]].shape[:-1], self.kept),)

    def work(self, tensors: Tensors) -> Work:
        """One comparison per score, as a selection by radix does [FLOP]."""
        return Work(tensors[self.inputs[0]].elements, self.unit, self.compute_dtype(tensors))

    def compute_dtype(self, tensors: Tensors) -> DType:
        return tensors[self.inputs[0]].dtype
