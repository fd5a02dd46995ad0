"""Attention: the three operators of the naive form, and the fused kernel.

Shapes: queries (batch, tokens, heads, key_dim); keys and values (batch, stored, kv_heads, dim). ``context``
is the number of positions that the last query may see, itself included; ``tokens`` of them are new.
"""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Gradient, MatrixShape, Operator, Shape, Tensor, Tensors, Unit, Work
from perfsim.quantities.numbers import Number, maximum, minimum

__all__ = ["FusedAttention", "Scores", "Softmax", "Values", "visible_pairs_twice"]

BACKWARD_PRODUCTS = 2.5
"""Products of the backward pass of the fused kernel over those of the forward pass [1]: scores again, and gradients of
values, probabilities, queries and keys, against scores and values (T. Dao, "FlashAttention-2", arXiv 2307.08691)."""

SOFTMAX_FLOPS = 5
"""Maximum, subtract, exponential, sum, divide: operations per score [FLOP]."""


def visible_pairs_twice(*, tokens: Number, context: Number, window: Number | None = None) -> Number:
    """Twice the number of (query, key) pairs under a causal mask [1]; an integer for integers.

    The i-th of ``tokens`` new queries sees ``context - tokens + i`` positions, at most ``window``:
    2·Σᵢ (context − tokens + i) = tokens·(2·context − tokens + 1).
    """
    if window is None:
        return tokens * (2 * context - tokens + 1)
    beyond = minimum(maximum(context - window, 0), tokens)  # queries that see a full window
    rest, rest_context = tokens - beyond, context - beyond
    return rest * (2 * rest_context - rest + 1) + 2 * beyond * window


@dataclass(frozen=True, eq=False)
class FusedAttention(Operator):
    """Scores, softmax and weighted values in one kernel; no score ever leaves the chip.

    inputs: queries, keys, values (the latter two from the cache), then tables (block table, sinks).
    output: (batch, tokens, heads, value_dim). Only visible pairs are computed (causal half). ``value_dim``: how many
    leading entries of the values are summed, if not all (values inside a longer latent).

    References
    ----------
    .. [1] T. Dao et al., "FlashAttention", arXiv 2205.14135.
    .. [2] W. Kwon et al., "PagedAttention", SOSP 2023, arXiv 2309.06180.
    """

    context: Number = 0
    window: Number | None = None
    causal: bool = True
    value_dim: int = 0

    kind = "attention"
    unit = Unit.TENSOR
    efficiency = "attention_efficiency"
    reference = "arXiv 2205.14135"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, tokens, heads, _ = tensors[self.inputs[0]].shape
        return ((batch, tokens, heads, self.value_dim or tensors[self.inputs[2]].shape[-1]),)

    def work(self, tensors: Tensors) -> Work:
        """2·pairs·(key_dim + value_dim)·heads·batch [FLOP] and the softmax of every pair."""
        queries, keys, values = (tensors[name].shape for name in self.inputs[:3])
        batch, tokens, heads, key_dim = queries
        twice = 2 * tokens * self.context
        if self.causal:
            twice = visible_pairs_twice(tokens=tokens, context=self.context, window=self.window)
        flops = twice * (key_dim + (self.value_dim or values[-1])) * heads * batch
        group = heads / keys[2]
        matrix = MatrixShape(batch * keys[2], tokens * group, self.context, key_dim)
        return Work(flops, self.unit, self.compute_dtype(tensors), matrix)

    def gradients(self, wanted: tuple[str, ...], tensors: Tensors) -> tuple[Gradient, ...]:
        """One kernel that computes the scores once more; it reads queries, keys, values and the output."""
        forward = self.work(tensors)
        work = Work(BACKWARD_PRODUCTS * forward.flops, self.unit, forward.dtype, forward.matrix)
        return (Gradient(wanted, (*self.inputs, *self.outputs), work),)

    def touched(self, tensors: Tensors) -> Number:
        """Positions of keys and values that all queries together read [1]: those inside the window."""
        if self.window is None:
            return self.context
        return minimum(self.context, self.window + tensors[self.inputs[0]].shape[1] - 1)

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """Of keys and values the touched positions [byte]; everything else in full."""
        if tensor.name not in self.inputs[1:3]:
            return tensor.nbytes
        batch, _, *rest = tensor.shape
        elements = batch * self.touched(tensors)
        for size in rest:
            elements = elements * size
        return tensor.dtype.nbytes(elements)


@dataclass(frozen=True, eq=False)
class Scores(Operator):
    """Queries times keys: (batch, heads, tokens, context), every pair computed and stored.

    causal, window: what a mask behind them hides.
    """

    context: Number = 0
    causal: bool = False
    window: Number | None = None

    kind = "scores"
    unit = Unit.TENSOR
    reference = "arXiv 1706.03762"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, tokens, heads, _ = tensors[self.inputs[0]].shape
        return ((batch, heads, tokens, self.context),)

    def work(self, tensors: Tensors) -> Work:
        """2·batch·heads·tokens·context·key_dim [FLOP]."""
        batch, tokens, heads, key_dim = tensors[self.inputs[0]].shape
        matrix = MatrixShape(batch * heads, tokens, self.context, key_dim)
        flops = 2 * batch * heads * tokens * self.context * key_dim
        return Work(flops, self.unit, self.compute_dtype(tensors), matrix)


@dataclass(frozen=True, eq=False)
class Softmax(Operator):
    """Masked softmax over the last axis."""

    kind = "softmax"
    reference = "arXiv 1706.03762"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def work(self, tensors: Tensors) -> Work:
        return Work(SOFTMAX_FLOPS * tensors[self.inputs[0]].elements, self.unit, self.compute_dtype(tensors))

    def gradients(self, wanted: tuple[str, ...], tensors: Tensors) -> tuple[Gradient, ...]:
        """P · (g − Σ p · g), from the probabilities p: multiply, accumulate, subtract, multiply."""
        flops = 4 * tensors[self.inputs[0]].elements
        return (Gradient(wanted, self.outputs, Work(flops, self.unit, self.compute_dtype(tensors))),)


@dataclass(frozen=True, eq=False)
class Values(Operator):
    """Probabilities times values: (batch, tokens, heads, value_dim); ``value_dim`` as in the fused kernel."""

    value_dim: int = 0

    kind = "values"
    unit = Unit.TENSOR
    reference = "arXiv 1706.03762"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, heads, tokens, _ = tensors[self.inputs[0]].shape
        return ((batch, tokens, heads, self.value_dim or tensors[self.inputs[1]].shape[-1]),)

    def work(self, tensors: Tensors) -> Work:
        """2·batch·heads·tokens·context·value_dim [FLOP]."""
        batch, heads, tokens, context = tensors[self.inputs[0]].shape
        value_dim = self.value_dim or tensors[self.inputs[1]].shape[-1]
        matrix = MatrixShape(batch * heads, tokens, value_dim, context)
        flops = 2 * batch * heads * tokens * context * value_dim
        return Work(flops, self.unit, self.compute_dtype(tensors), matrix)
