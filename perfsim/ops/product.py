"""Products of two activations: batches of matrices, and sums over any indices."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import MatrixShape, Operator, Shape, Tensors, Unit, Work
from perfsim.quantities.numbers import Number

__all__ = ["Contraction"]


@dataclass(frozen=True, eq=False)
class Contraction(Operator):
    """``batch`` products of (m × k) by (k × n) matrices, whose operands may be repeated along the batch.

    shape: of the output; batch, m, n, k: sizes of the product.
    """

    shape: Shape = ()
    batch: Number = 1
    m: Number = 1
    n: Number = 1
    k: Number = 1

    kind = "matmul"
    unit = Unit.TENSOR
    reference = "numpy.matmul, numpy.einsum"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (self.shape,) * len(self.outputs)

    def work(self, tensors: Tensors) -> Work:
        """2·batch·m·n·k [FLOP]."""
        matrix = MatrixShape(self.batch, self.m, self.n, self.k)
        return Work(2 * self.batch * self.m * self.n * self.k, self.unit, self.compute_dtype(tensors), matrix)
