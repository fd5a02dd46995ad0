"""Products with tensor trains: core by core, or with the matrix that the cores make up, whichever is less work."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from perfsim.graph import MatrixShape, Operator, Shape, Tensor, Tensors, Unit, Work
from perfsim.quantities.numbers import Number, where

__all__ = ["TrainProduct"]


@dataclass(frozen=True, eq=False)
class TrainProduct(Operator):
    """One of as many kernels as a tensor train has cores.

    inputs: what was made before (the first: the features), the core of this kernel, the next core (the last: the
    features), and the features where they are not named yet. Core by core, each kernel multiplies by its core: the
    features between them have ``out`` entries per row. Rebuilt, each kernel but the last joins the next core to those
    before it, once per pass, and the last multiplies by the whole matrix.

    contracted: trailing axes of the features that make up a vector; repeat: times that the core is applied per row;
    core: its (inner, outer) size; out: shape of the result per row; joined: (m, n, k) of the product that joins the
    next core, of the last kernel (1, columns, rows) of the matrix; by_core, dense: work per row in either order [FLOP];
    building: work of rebuilding the matrix [FLOP].

    References
    ----------
    .. [1] A. Novikov et al., "Tensorizing Neural Networks", arXiv 1509.06569.
    """

    contracted: int = 1
    repeat: int = 1
    core: tuple[int, int] = (1, 1)
    out: Shape = ()
    joined: tuple[int, int, int] = (1, 1, 1)
    last: bool = False
    by_core: Number = 0
    dense: Number = 0
    building: Number = 0

    kind = "train-product"
    unit = Unit.TENSOR
    reference = "arXiv 1509.06569"

    def _features(self) -> int:
        """Place of the features among the inputs."""
        return 2 if self.last else 3 if len(self.inputs) > 3 else 0

    def _leading(self, tensors: Tensors) -> Shape:
        return tensors[self.inputs[self._features()]].shape[: -self.contracted]

    def rebuilt(self, tensors: Tensors) -> Any:
        """Whether rows·by_core > rows·dense + building."""
        rows = math.prod(self._leading(tensors))
        return rows * self.by_core > rows * self.dense + self.building

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        leading = self._leading(tensors)
        if self.last:
            return ((*leading, *self.out),)
        rebuilt, entries = self.rebuilt(tensors), self.joined[0] * self.joined[1]
        return ((*(where(rebuilt, 1, n) for n in leading), where(rebuilt, entries, math.prod(self.out))),)

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """Core by core the first two inputs; rebuilt what was joined before, and the next core or the features."""
        if tensor.name not in self.inputs:
            return tensor.nbytes
        place, joins = self.inputs.index(tensor.name), {0, 2} if self._features() else {1, 2}
        return tensor.nbytes * where(self.rebuilt(tensors), int(place in joins), int(place < 2))

    def work(self, tensors: Tensors) -> Work:
        """2·rows·repeat·inner·outer core by core, 2·m·n·k rebuilt, the last with m = rows [FLOP]."""
        rows: Number = math.prod(self._leading(tensors))
        rebuilt, (inner, outer), (m, n, k) = self.rebuilt(tensors), self.core, self.joined
        whole = rows * m if self.last else m
        matrix = MatrixShape(
            1, where(rebuilt, whole, rows * self.repeat), where(rebuilt, n, outer), where(rebuilt, k, inner)
        )
        return Work(2 * matrix.m * matrix.n * matrix.k, self.unit, self.compute_dtype(tensors), matrix)
