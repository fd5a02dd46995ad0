"""Products with block-diagonal matrices: what structured factors of a weight matrix are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.graph import MatrixShape, Operator, Shape, Tensors, Unit, Work
from perfsim.quantities.numbers import Number

__all__ = ["BlockLinear"]


@dataclass(frozen=True, eq=False)
class BlockLinear(Operator):
    """Features (*rows, *contracted) times a weight (blocks, inner, outer), one block after the other.

    contracted: trailing axes of the features that make up a vector; repeat: how many times the whole matrix is applied
    along a vector, which then has repeat·blocks·inner entries; out: shape of the result per row, of
    repeat·blocks·outer entries. Entries may be taken and left in any order: a permutation rides on loads and stores.

    References
    ----------
    .. [1] T. Dao et al., "Monarch", arXiv 2204.00595.
    """

    contracted: int = 1
    repeat: int = 1
    out: Shape = ()

    kind = "block-linear"
    unit = Unit.TENSOR
    reference = "arXiv 2204.00595"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return ((*tensors[self.inputs[0]].shape[: -self.contracted], *self.out),)

    def work(self, tensors: Tensors) -> Work:
        """2·rows·repeat·blocks·inner·outer [FLOP]."""
        rows: Number = math.prod(tensors[self.inputs[0]].shape[: -self.contracted])
        blocks, inner, outer = tensors[self.inputs[1]].shape
        matrix = MatrixShape(blocks, rows * self.repeat, outer, inner)
        flops = 2 * rows * self.repeat * blocks * inner * outer
        return Work(flops, self.unit, self.compute_dtype(tensors), matrix)
