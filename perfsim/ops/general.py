"""Operators of stated shapes and work, for graphs that come from outside and know every size."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensor, Tensors, Work
from perfsim.quantities.dtypes import DType
from perfsim.quantities.numbers import Number

__all__ = ["General", "Move", "Pointwise", "Reduction", "Unmodelled"]


@dataclass(frozen=True, eq=False)
class General(Operator):
    """Outputs of stated shapes.

    shapes: of the outputs; flops: of one execution [FLOP]; label: what it does, by which fusion rules know it; touched:
    per input the elements that are read, None for all of them; written: elements that one execution writes, None for
    all; note: what was assumed about it.
    """

    shapes: tuple[Shape, ...] = ()
    flops: Number = 0
    label: str = ""
    touched: tuple[Number | None, ...] = ()
    written: Number | None = None
    note: str = ""

    kind = "general"

    @property
    def fusion_kind(self) -> str:
        return self.label or self.kind

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return self.shapes

    def work(self, tensors: Tensors) -> Work:
        return Work(self.flops, self.unit, self.compute_dtype(tensors))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """Bytes of the touched or written elements [byte]."""
        if self.written is not None and tensor.name in self.outputs:
            return tensor.dtype.nbytes(self.written)
        for name, elements in zip(self.inputs, self.touched, strict=False):
            if name == tensor.name and elements is not None:
                return tensor.dtype.nbytes(elements)
        return tensor.nbytes

    def compute_dtype(self, tensors: Tensors) -> DType:
        """That of the first input, or of the output of an operator that makes numbers from nothing."""
        return tensors[(*self.inputs, *self.outputs)[0]].dtype


@dataclass(frozen=True, eq=False)
class Pointwise(General):
    """Element by element, with operands that may be repeated along some axes."""

    kind = "elementwise"
    reference = "numpy broadcasting"


@dataclass(frozen=True, eq=False)
class Reduction(General):
    """Sums, extremes and means over some axes."""

    kind = "reduce"
    reference = "onnx.ai/onnx/operators, Reduce*"


@dataclass(frozen=True, eq=False)
class Move(General):
    """Bytes that change their place: transposition, slices, gathers, padding."""

    kind = "copy"
    reference = "onnx.ai/onnx/operators, Transpose, Slice, Gather, Pad"


@dataclass(frozen=True, eq=False)
class Unmodelled(General):
    """An operator without a cost rule: its bytes count, its work is not known and counts as none."""

    kind = "unmodelled"
    reference = "docs/onnx.md"
