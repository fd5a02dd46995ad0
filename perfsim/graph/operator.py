"""Operators: the work of a step. Bytes are not theirs; those belong to the tensors on their edges."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from perfsim.graph.tensor import Role, Tensor
from perfsim.quantities.dtypes import DType
from perfsim.quantities.numbers import Number

__all__ = ["Gradient", "MatrixShape", "Operator", "Shape", "Tensors", "Unit", "Work"]

Tensors = Mapping[str, Tensor]
Shape = tuple[Number, ...]


class Unit(Enum):
    """Which part of a device does the arithmetic."""

    TENSOR = "tensor"
    """The matrix unit (tensor core, MXU, dot-product engine)."""
    VECTOR = "vector"
    """SIMD lanes or CUDA cores."""
    LINK = "link"
    """No arithmetic here: bytes on a link between devices."""


@dataclass(frozen=True, eq=False)
class MatrixShape:
    """``batch`` independent products of an (m × k) by a (k × n) matrix.

    groups: how many of them share their rows, as the groups of a convolution do; depth: numbers of a row that lie side
    by side in memory, the channels of a convolution, 0 for all k; window: taps per axis of a window that moves by one
    position at a time, so that neighbours share their inputs, 1 for all others.
    """

    batch: Number
    m: Number
    n: Number
    k: Number
    groups: Number = 1
    depth: Number = 0
    window: Number = 1


@dataclass(frozen=True, eq=False)
class Work:
    """Arithmetic of one operator.

    flops: operations [FLOP], one multiply-accumulate counted as two; unit: who does them;
    dtype: number format they are done in; matrix: shape of the matrix product, if it is one; executed: operations
    that the kernel really executes over ``flops`` [1], e.g. above 1 where it computes values twice or where a sparse
    kernel runs below the rate of the dense one; rows: how many sums a norm has to
    finish before it can scale, 0 for none.
    """

    flops: Number
    unit: Unit
    dtype: DType
    matrix: MatrixShape | None = None
    executed: Number = 1
    rows: Number = 0


@dataclass(frozen=True, eq=False)
class Gradient:
    """One kernel of the backward pass of an operator.

    of: inputs whose gradients it writes; reads: tensors of the forward pass that it reads, beside the gradients of the
    outputs; work: its arithmetic, None where the gradient of the output is that of the input as it stands, without a
    kernel; written: elements of the gradients that it writes, if not all of them.
    """

    of: tuple[str, ...]
    reads: tuple[str, ...]
    work: Work | None
    written: Number | None = None


@dataclass(frozen=True, eq=False)
class Operator(ABC):
    """Base of all operators.

    name: unique in its graph; inputs, outputs: tensor names in order; region: repeated region, or ``""``.

    A subclass gives ``kind``, :meth:`output_shapes` and :meth:`work`; everything is derived from the
    shapes of the tensors on its edges, so an edit of the tensors (sharding, other number formats)
    changes work and traffic without touching the operator.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    region: str = ""

    kind: ClassVar[str] = ""
    unit: ClassVar[Unit] = Unit.VECTOR
    efficiency: ClassVar[str] = "compute_efficiency"
    """Which of a stack's efficiencies its matrix work reaches."""
    linear: ClassVar[bool] = False
    """Whether a sum of outputs is the output of the sum, so partial sums may pass through."""
    reference: ClassVar[str] = ""
    """Where the operator is defined: a paper or a framework's documentation."""

    @property
    def fusion_kind(self) -> str:
        """Name by which a stack's fusion rules know this operator."""
        return self.kind

    @property
    def dense_form(self) -> Operator:
        """The operator with all its weights: itself, unless only a part of them is stored."""
        return self

    @abstractmethod
    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        """Shapes of the outputs, from those of the inputs."""

    @abstractmethod
    def work(self, tensors: Tensors) -> Work:
        """Arithmetic of one execution."""

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """Bytes of ``tensor`` that one execution really touches [byte]; all of them by default."""
        return tensor.nbytes

    def compute_dtype(self, tensors: Tensors) -> DType:
        """Format of the arithmetic: that of the first input, which carries the features."""
        return tensors[self.inputs[0]].dtype

    def partial_output(self, tensors: Tensors) -> bool:
        """Whether sharded weights leave each device with a partial sum that must be all-reduced."""
        return False

    @property
    def passes_partial_sums(self) -> bool:
        """Whether partial sums of all feature inputs may be reduced behind this operator instead of before."""
        return self.linear

    def gradients(self, wanted: tuple[str, ...], tensors: Tensors) -> tuple[Gradient, ...]:
        """Kernels of the backward pass that make the gradients of the ``wanted`` inputs.

        Unless a subclass knows better: matrix work is done once more for every wanted input of features, and once more
        for all wanted weights together, with the others as the second factor; element-wise work reads its inputs and
        takes as long again, in one kernel; moving data needs no values.
        """
        work = self.work(tensors)
        if work.unit is Unit.TENSOR:
            weights = tuple(name for name in wanted if tensors[name].role is Role.WEIGHT)
            products = [(name,) for name in wanted if name not in weights] + ([weights] if weights else [])
            return tuple(Gradient(of, tuple(n for n in self.inputs if n not in of), work) for of in products)
        reads = () if isinstance(work.flops, int | float) and work.flops == 0 else self.inputs
        return (Gradient(wanted, reads, work),)

    def partial_gradient(self, name: str, tensors: Tensors) -> bool:
        """Whether sharded weights leave each device with a part of the gradient of this input only."""
        return False
