"""Attention without a softmax over pairs: keys and values are summed into one small matrix per head."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import MatrixShape, Operator, Shape, Tensors, Unit, Work

__all__ = ["ContextSum", "KeyValueSum", "LinearRead"]


@dataclass(frozen=True, eq=False)
class KeyValueSum(Operator):
    """Sum over positions of key ⊗ value: (batch, heads, key_dim, value_dim + 1).

    inputs: keys (batch, tokens, heads, key_dim), already positive by a kernel function such as ReLU, and values
    (batch, tokens, heads, value_dim). The extra column sums the keys themselves, which the normalisation needs.

    References
    ----------
    .. [1] A. Katharopoulos et al., "Transformers are RNNs", arXiv 2006.16236. [2] H. Cai et al., arXiv 2205.14756.
    """

    kind = "key-value-sum"
    unit = Unit.TENSOR
    efficiency = "attention_efficiency"
    reference = "arXiv 2006.16236, arXiv 2205.14756"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, _, heads, key_dim = tensors[self.inputs[0]].shape
        return ((batch, heads, key_dim, tensors[self.inputs[1]].shape[-1] + 1),)

    def work(self, tensors: Tensors) -> Work:
        """2·batch·heads·tokens·key_dim·(value_dim + 1) [FLOP]."""
        batch, tokens, heads, key_dim = tensors[self.inputs[0]].shape
        columns = tensors[self.inputs[1]].shape[-1] + 1
        matrix = MatrixShape(batch * heads, key_dim, columns, tokens)
        flops = 2 * batch * heads * tokens * key_dim * columns
        return Work(flops, self.unit, self.compute_dtype(tensors), matrix)


@dataclass(frozen=True, eq=False)
class LinearRead(Operator):
    """Queries times the sum of :class:`KeyValueSum`, divided by its last column: (batch, tokens, heads, value_dim).

    inputs: queries (batch, tokens, heads, key_dim) and the sums (batch, heads, key_dim, value_dim + 1). The division is
    not counted.
    """

    kind = "linear-read"
    unit = Unit.TENSOR
    efficiency = "attention_efficiency"
    reference = "arXiv 2006.16236, arXiv 2205.14756"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, tokens, heads, _ = tensors[self.inputs[0]].shape
        return ((batch, tokens, heads, tensors[self.inputs[1]].shape[-1] - 1),)

    def work(self, tensors: Tensors) -> Work:
        """2·batch·heads·tokens·key_dim·(value_dim + 1) [FLOP]."""
        batch, tokens, heads, key_dim = tensors[self.inputs[0]].shape
        columns = tensors[self.inputs[1]].shape[-1]
        matrix = MatrixShape(batch * heads, tokens, columns, key_dim)
        flops = 2 * batch * heads * tokens * key_dim * columns
        return Work(flops, self.unit, self.compute_dtype(tensors), matrix)


@dataclass(frozen=True, eq=False)
class ContextSum(Operator):
    """Sum over the last axis of keys (batch, dim, rows, tokens) weighted by scores (batch, 1, rows, tokens).

    The context vector (batch, dim, rows, 1) of separable attention, whose queries are single numbers.

    References
    ----------
    .. [1] S. Mehta, M. Rastegari, "Separable Self-attention for Mobile Vision Transformers", arXiv 2206.02680.
    """

    kind = "context-sum"
    reference = "arXiv 2206.02680"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return ((*tensors[self.inputs[0]].shape[:-1], 1),)

    def work(self, tensors: Tensors) -> Work:
        """A product and an addition per element [FLOP]."""
        return Work(2 * tensors[self.inputs[0]].elements, self.unit, self.compute_dtype(tensors))
