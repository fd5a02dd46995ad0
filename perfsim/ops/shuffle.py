"""Exchange of channels between groups."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensors, Work

__all__ = ["ChannelShuffle"]


@dataclass(frozen=True, eq=False)
class ChannelShuffle(Operator):
    """Channels of (batch, groups · n, *spatial) in the order of a transposed (groups × n) table: a copy, no arithmetic.

    References
    ----------
    .. [1] X. Zhang et al., "ShuffleNet", arXiv 1707.01083, section 3.1.
    """

    groups: int = 2

    kind = "channel-shuffle"
    reference = "arXiv 1707.01083"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def work(self, tensors: Tensors) -> Work:
        return Work(0, self.unit, self.compute_dtype(tensors))
