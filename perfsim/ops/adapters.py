"""Products and scalings whose weights belong to the sequence: adapters of several tasks in one batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.graph import MatrixShape, Operator, Shape, Tensor, Tensors, Unit, Work
from perfsim.quantities.numbers import Number

__all__ = ["AdapterProduct", "AdapterScale"]


@dataclass(frozen=True, eq=False)
class AdapterProduct(Operator):
    """``outputs[i] = inputs[0] @ inputs[1 + i][adapter of the sequence]``.

    inputs: features (*rows, *contracted) and weights (adapters, *contracted, *out); contracted: how many axes are
    summed over; used: different adapters that the sequences of a pass need, 1 to adapters, each a product of its own.

    References
    ----------
    .. [1] L. Chen et al., "Punica: Multi-Tenant LoRA Serving", arXiv 2310.18547: gathered matrix-vector products.
    """

    contracted: int = 1
    used: Number = 1

    kind = "adapter-product"
    unit = Unit.TENSOR
    reference = "arXiv 2310.18547"

    @property
    def fusion_kind(self) -> str:
        return "linear"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        rows = tensors[self.inputs[0]].shape[: -self.contracted]
        return tuple((*rows, *tensors[w].shape[1 + self.contracted :]) for w in self.inputs[1:])

    def work(self, tensors: Tensors) -> Work:
        """2·rows·columns·inner [FLOP], in ``used`` products that share the rows."""
        shape = tensors[self.inputs[0]].shape
        rows: Number = math.prod(shape[: -self.contracted])
        inner: Number = math.prod(shape[-self.contracted :])
        columns = sum(math.prod(tensors[w].shape[1 + self.contracted :]) for w in self.inputs[1:])
        matrix = MatrixShape(self.used, rows / self.used, columns, inner)
        return Work(2 * rows * columns * inner, self.unit, self.compute_dtype(tensors), matrix)

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """Weights: those of the adapters that are used [byte]."""
        return _used(self, tensor, tensors, self.used)


@dataclass(frozen=True, eq=False)
class AdapterScale(Operator):
    """Features (*rows, *out) times vectors of the adapter of their sequence, added up over neighbours.

    inputs: features and vectors (adapters, vectors, *out); with 1 vector each feature is scaled, with 2 it becomes
    a·x + b·(its neighbour in a pair), a rotation in the plane of both. used: as for :class:`AdapterProduct`.

    References
    ----------
    .. [1] B. Liao, C. Monz, "3-in-1: 2D Rotary Adaptation", arXiv 2409.00119. [2] H. Liu et al., "(IA)3",
       arXiv 2205.05638.
    """

    used: Number = 1

    kind = "adapter-scale"
    reference = "arXiv 2409.00119"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def work(self, tensors: Tensors) -> Work:
        """A multiplication per feature and vector, and the additions between them [FLOP]."""
        vectors = tensors[self.inputs[1]].shape[1]
        return Work((2 * vectors - 1) * tensors[self.inputs[0]].elements, self.unit, self.compute_dtype(tensors))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """Vectors: those of the adapters that are used [byte]."""
        return _used(self, tensor, tensors, self.used)


def _used(op: Operator, tensor: Tensor, tensors: Tensors, used: Number) -> Number:
    stored = tensor.name in op.inputs[1:]
    return tensor.nbytes * (used / tensors[tensor.name].shape[0]) if stored else tensor.nbytes
