"""Short convolution over the past of a sequence, channel by channel, as state-space layers have it."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, Role, Shape, Tensor, Tensors, Work
from perfsim.quantities.numbers import Number

__all__ = ["CausalConv"]


@dataclass(frozen=True, eq=False)
class CausalConv(Operator):
    """Each channel of (batch, tokens, channels) with its own taps over the last positions, the present one included.

    inputs: one or more features, as many weights (channels, taps), then biases (channels,) and the windows of last
    inputs that a sequence keeps, (batch, channels, taps), where there are such; all features in one kernel.
    ``carried``: the windows of the last step are read before the new ones are written, as in a decode step.

    References
    ----------
    .. [1] A. Gu, T. Dao, "Mamba", arXiv 2312.00752, section 3.4.
    """

    carried: bool = False

    kind = "causal-conv"
    reference = "arXiv 2312.00752"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return tuple(tensors[name].shape for name in self.inputs[: len(self.outputs)])

    def work(self, tensors: Tensors) -> Work:
        """2·taps per element [FLOP]; taps in front of the sequence are counted, as kernels compute them."""
        count = len(self.outputs)
        pairs = zip(self.inputs[:count], self.inputs[count : 2 * count], strict=True)
        flops: Number = sum(2 * tensors[weight].shape[-1] * tensors[x].elements for x, weight in pairs)
        return Work(flops, self.unit, self.compute_dtype(tensors))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """The window is written, and read before if it is carried over [byte]; everything else once."""
        twice = self.carried and tensor.role is Role.KV_CACHE
        return tensor.nbytes * 2 if twice else tensor.nbytes
