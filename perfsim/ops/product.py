"""Products of two activations: batches of matrices, and sums over any indices."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import MatrixShape, Operator, Shape, Tensor, Tensors, Unit, Work
from perfsim.ops.attention import FusedAttention
from perfsim.quantities.numbers import Number

__all__ = ["Contraction", "PackedAttention", "Recurrence"]


@dataclass(frozen=True, eq=False)
class Contraction(Operator):
    """``batch`` products of (m × k) by (k × n) matrices, whose operands may be repeated along the batch.

    shapes: of the outputs; batch, m, n, k: sizes of the product.
    """

    shapes: tuple[Shape, ...] = ()
    batch: Number = 1
    m: Number = 1
    n: Number = 1
    k: Number = 1

    kind = "matmul"
    unit = Unit.TENSOR
    reference = "numpy.matmul, numpy.einsum"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return self.shapes

    def work(self, tensors: Tensors) -> Work:
        """2·batch·m·n·k [FLOP]."""
        matrix = MatrixShape(self.batch, self.m, self.n, self.k)
        return Work(2 * self.batch * self.m * self.n * self.k, self.unit, self.compute_dtype(tensors), matrix)


@dataclass(frozen=True, eq=False)
class Recurrence(Contraction):
    """A recurrent layer: one product of ``m`` rows per position and direction, each waiting for the one before.

    The element-wise work of its gates is not counted; weights are read once, as a persistent kernel does.

    References
    ----------
    .. [1] S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997.
    """

    kind = "recurrent"
    reference = "onnx.ai/onnx/operators, LSTM, GRU, RNN"


@dataclass(frozen=True, eq=False)
class PackedAttention(Operator):
    """Attention whose operands lie in any layout, maybe all in one tensor; sizes are stated.

    context, window, causal: as for :class:`perfsim.ops.attention.FusedAttention`; queries: (batch, tokens, heads,
    key_dim); values: (batch, stored, kv_heads, value_dim); shapes: of the outputs.
    """

    context: Number = 0
    window: Number | None = None
    causal: bool = True
    queries: Shape = ()
    values: Shape = ()
    shapes: tuple[Shape, ...] = ()

    kind = "attention"
    unit = Unit.TENSOR
    efficiency = "attention_efficiency"
    reference = "arXiv 2205.14135"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return self.shapes

    def work(self, tensors: Tensors) -> Work:
        """That of :class:`FusedAttention` for the stated sizes."""
        dtype = self.compute_dtype(tensors)
        sizes = {"q": self.queries, "k": (*self.values[:3], self.queries[3]), "v": self.values}
        plain = FusedAttention("", ("q", "k", "v"), (), context=self.context, window=self.window, causal=self.causal)
        return plain.work({name: Tensor(name, shape, dtype) for name, shape in sizes.items()})
