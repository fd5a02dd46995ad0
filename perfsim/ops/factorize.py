"""Singular values of a matrix."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensors, Work
from perfsim.quantities.numbers import maximum, minimum

__all__ = ["SingularValues"]


@dataclass(frozen=True, eq=False)
class SingularValues(Operator):
    """Singular values of each matrix of (batch, rows, columns): (batch, min(rows, columns)).

    slowdown: time over that of the same operations at the rate of the vector unit [1]; reductions to a band are half
    matrix-vector products, which is why factorizations stay far below peak.

    References
    ----------
    .. [1] G. Golub, C. Van Loan, "Matrix Computations", 4th edition, figure 8.6.1: 4mn² − 4n³/3 for the values alone.
    """

    slowdown: float = 1.0

    kind = "singular-values"
    reference = "torch.linalg.svdvals"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, rows, columns = tensors[self.inputs[0]].shape
        return ((batch, minimum(rows, columns)),)

    def work(self, tensors: Tensors) -> Work:
        """4·m·n² − 4/3·n³ per matrix, m ≥ n [FLOP]."""
        batch, rows, columns = tensors[self.inputs[0]].shape
        m, n = maximum(rows, columns), minimum(rows, columns)
        flops = batch * (4 * m * n**2 - 4 * n**3 / 3)
        return Work(flops, self.unit, self.compute_dtype(tensors), executed=self.slowdown)
