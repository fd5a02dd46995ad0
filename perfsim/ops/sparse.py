"""Products with weights of which only a part is stored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from perfsim.graph import MatrixShape, Operator, Shape, Tensor, Tensors, Unit, Work
from perfsim.quantities.dtypes import DType
from perfsim.quantities.numbers import Number

__all__ = ["SparseProduct"]


@dataclass(frozen=True, eq=False)
class SparseProduct(Operator):
    """The product ``dense`` of which only a part is executed.

    kept: multiply-accumulates that are left over those of the dense product [1]; slowdown: time per kept one over that
    of the dense kernel [1], e.g. 1 / kept where the device has no kernel that skips the others. The stored bytes,
    indices included, are those of the weight tensors, whose number format counts the bits per *dense* element.
    """

    dense: Operator | None = None
    kept: float = 1.0
    slowdown: float = 1.0

    unit = Unit.TENSOR
    kind = "sparse-product"
    reference = "arXiv 2006.10901"

    @cached_property
    def _product(self) -> Operator:
        assert self.dense is not None
        return replace(self.dense, inputs=self.inputs, outputs=self.outputs)

    @property
    def fusion_kind(self) -> str:
        return self._product.fusion_kind

    @property
    def dense_form(self) -> Operator:
        return self._product.dense_form

    @property
    def passes_partial_sums(self) -> bool:
        return self._product.passes_partial_sums

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return self._product.output_shapes(tensors)

    def work(self, tensors: Tensors) -> Work:
        """FLOP of the dense product × kept [FLOP]; the inner length of the matrix shrinks alike."""
        work, kept = self._product.work(tensors), self.kept
        m = work.matrix
        matrix = None if m is None else MatrixShape(m.batch, m.m, m.n, m.k * kept)
        return Work(work.flops * kept, work.unit, work.dtype, matrix, work.executed * self.slowdown)

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        return self._product.accessed(tensor, tensors)

    def compute_dtype(self, tensors: Tensors) -> DType:
        return self._product.compute_dtype(tensors)

    def partial_output(self, tensors: Tensors) -> bool:
        return self._product.partial_output(tensors)
