"""Between number formats: stored low-bit weights to the format of the arithmetic, and features to a narrow one."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensor, Tensors, Work
from perfsim.ops.contextual import ContextualProduct
from perfsim.ops.experts import ExpertLinear
from perfsim.quantities.dtypes import DType
from perfsim.quantities.numbers import Number

__all__ = ["Dequantize", "Quantize"]


@dataclass(frozen=True, eq=False)
class Dequantize(Operator):
    """The stored weights of one product to the arithmetic's format: subtract a zero point, multiply by a scale.

    A stack with a fused kernel does it in registers while it multiplies; without one the whole
    weights are written to and read from main memory. ``experts``: the product, if it touches a
    part of its weights only (experts, active neurons); then only those are turned.
    """

    experts: ExpertLinear | ContextualProduct | None = None

    kind = "dequantize"
    reference = "arXiv 2306.00978"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return tuple(tensors[name].shape for name in self.inputs)

    def _share(self, tensors: Tensors) -> Number:
        if self.experts is None:
            return 1
        return self.experts.touched(tensors) / tensors[self.inputs[0]].shape[0]

    def work(self, tensors: Tensors) -> Work:
        """2 operations per weight [FLOP]."""
        elements = sum(tensors[name].elements for name in self.inputs)
        return Work(2 * elements * self._share(tensors), self.unit, self.compute_dtype(tensors))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        return tensor.nbytes * self._share(tensors)

    def compute_dtype(self, tensors: Tensors) -> DType:
        return tensors[self.outputs[0]].dtype


@dataclass(frozen=True, eq=False)
class Quantize(Operator):
    """Features to a narrower format with a scale per row or group: largest magnitude, divide, round."""

    kind = "quantize"
    reference = "arXiv 2211.10438"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def work(self, tensors: Tensors) -> Work:
        """3 operations per element [FLOP]."""
        return Work(3 * tensors[self.inputs[0]].elements, self.unit, self.compute_dtype(tensors))
