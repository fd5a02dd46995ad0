"""The update of the weights at the end of a training step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from perfsim.graph import Operator, Role, Shape, Tensor, Tensors, Work
from perfsim.quantities.numbers import Number

__all__ = ["UPDATE_FLOPS", "Update"]

UPDATE_FLOPS: Mapping[str, float] = MappingProxyType({"adam": 14, "sgd": 2, "momentum": 4, "lion": 9})
"""Operations per parameter [FLOP]. Adam with decoupled decay: 3 for the first moment, 4 for the second, 2 corrections,
root, sum and quotient, 2 for decay and step."""


@dataclass(frozen=True, eq=False)
class Update(Operator):
    """One kernel that updates the weights of one part of a network.

    inputs: gradients (read), weights (written), and what the optimizer keeps (read and written), each as one
    array of all their elements.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", arXiv 1711.05101.
    """

    function: str = "adam"

    kind = "update"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return ()

    def work(self, tensors: Tensors) -> Work:
        gradients = tensors[self.inputs[0]]
        return Work(UPDATE_FLOPS[self.function] * gradients.elements, self.unit, gradients.dtype)

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """States are read and written, all else one of both [byte]."""
        return tensor.nbytes * 2 if tensor.role is Role.OPTIMIZER else tensor.nbytes
