"""Dropout."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Gradient, Operator, Shape, Tensors, Work

__all__ = ["Dropout"]


@dataclass(frozen=True, eq=False)
class Dropout(Operator):
    """Features with a random part set to 0 and the rest scaled, and the mask that says which: one byte per element.

    References
    ----------
    .. [1] N. Srivastava et al., "Dropout", JMLR 15, 2014.
    """

    kind = "dropout"
    reference = "torch.nn.functional.dropout"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        shape = tensors[self.inputs[0]].shape
        return shape, shape

    def work(self, tensors: Tensors) -> Work:
        """Compare and multiply [FLOP]; the random number is not counted."""
        return Work(2 * tensors[self.inputs[0]].elements, self.unit, self.compute_dtype(tensors))

    def gradients(self, wanted: tuple[str, ...], tensors: Tensors) -> tuple[Gradient, ...]:
        """The gradient where the mask lets it through."""
        return (Gradient(wanted, self.outputs[1:], self.work(tensors)),)
