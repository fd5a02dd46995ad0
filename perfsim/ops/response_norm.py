"""Global response normalisation: channels compete for the norm of their feature maps."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensor, Tensors, Work
from perfsim.quantities.numbers import Number

__all__ = ["ResponseNorm"]


@dataclass(frozen=True, eq=False)
class ResponseNorm(Operator):
    """x + weight · (x · ‖x‖ₕᵥ / mean over channels) + bias; inputs are features, weight and bias (channels,).

    It needs the whole feature map before it can scale the first element: a barrier for block fusion.

    References
    ----------
    .. [1] S. Woo et al., "ConvNeXt V2", arXiv 2301.00808.
    """

    kind = "response-norm"
    reference = "arXiv 2301.00808"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def work(self, tensors: Tensors) -> Work:
        """6 operations per element [FLOP]: square, add up, scale, weight, bias, residual."""
        return Work(6 * tensors[self.inputs[0]].elements, self.unit, self.compute_dtype(tensors))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """The features twice [byte]: for the norm of the whole map, then to scale them."""
        return 2 * tensor.nbytes if tensor.name == self.inputs[0] else tensor.nbytes
