"""Normalisation over groups of channels and all positions."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensors, Work
from perfsim.ops.norm import NORMS

__all__ = ["GroupNorm"]


@dataclass(frozen=True, eq=False)
class GroupNorm(Operator):
    """Group norm of (batch, channels, *spatial); inputs[1:] are scale and shift per channel.

    Unlike a batch norm it cannot be folded: mean and variance are those of the input itself. ``groups`` do not change
    the work; one group per channel is an instance norm, one group in all a layer norm of the map.

    References
    ----------
    .. [1] Y. Wu, K. He, "Group Normalization", arXiv 1803.08494.
    """

    groups: int = 32

    kind = "group-norm"
    reference = "arXiv 1803.08494"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def work(self, tensors: Tensors) -> Work:
        """As a layer norm: mean, centre, square, accumulate, scale, weight, bias, per element [FLOP]."""
        elements = tensors[self.inputs[0]].elements
        return Work(NORMS["layernorm"] * elements, self.unit, self.compute_dtype(tensors))
