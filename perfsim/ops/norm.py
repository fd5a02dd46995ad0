"""Normalisation over the last axis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from perfsim.graph import Gradient, Operator, Shape, Tensors, Work

__all__ = ["NORMS", "Norm"]

NORMS: Mapping[str, float] = MappingProxyType({"layernorm": 7, "rmsnorm": 4})
"""Operations per element [FLOP]. RMS: square, accumulate, scale, weight. Layer: mean, centre, square,
accumulate, scale, weight, bias."""


@dataclass(frozen=True, eq=False)
class Norm(Operator):
    """LayerNorm or RMSNorm of inputs[0]; inputs[1:] are scale and shift.

    References
    ----------
    .. [1] J. Ba, J. Kiros, G. Hinton, "Layer Normalization", arXiv 1607.06450.
    .. [2] B. Zhang, R. Sennrich, "Root Mean Square Layer Normalization", arXiv 1910.07467.
    """

    function: str = "rmsnorm"

    kind = "norm"
    reference = "arXiv 1607.06450, arXiv 1910.07467"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def work(self, tensors: Tensors) -> Work:
        features = tensors[self.inputs[0]]
        flops = NORMS[self.function] * features.elements
        shape = features.shape
        rows = math.prod(shape[:1] + shape[2:] if len(shape) == 4 else shape[:-1])  # maps have their channels second
        return Work(flops, self.unit, self.compute_dtype(tensors), rows=rows)

    def gradients(self, wanted: tuple[str, ...], tensors: Tensors) -> tuple[Gradient, ...]:
        """One kernel for features and weights, with two sums per row instead of one: twice the work."""
        work = self.work(tensors)
        return (Gradient(wanted, self.inputs, Work(2 * work.flops, self.unit, work.dtype, rows=2 * work.rows)),)
