"""Kernels of the backward pass."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Gradient, Operator, Role, Shape, Tensor, Tensors, Unit, Work
from perfsim.quantities.numbers import Number

__all__ = ["Backward"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Backward(Operator):
    """One kernel of the backward pass of ``forward``: ``gradient`` says which.

    inputs: gradients of the outputs of ``forward``, then what it reads of the forward pass; outputs: gradients of
    the inputs named by ``gradient.of``, of the given ``shapes``. accumulations: how often the gradient of a weight
    crosses the memory: once where it is written, twice where it is added to that of earlier passes; partial: whether a
    device knows only a part of the gradient.
    """

    forward: Operator
    gradient: Gradient
    shapes: tuple[Shape, ...] = ()
    accumulations: Number = 1
    partial: bool = False

    @property
    def kind(self) -> str:  # type: ignore[override]
        """That of the forward operator, marked."""
        return f"{self.forward.kind}-backward"

    @property
    def fusion_kind(self) -> str:
        return f"{self.forward.fusion_kind}-backward"

    @property
    def unit(self) -> Unit:  # type: ignore[override]
        """Which part of the device does it."""
        return self._work.unit

    @property
    def efficiency(self) -> str:  # type: ignore[override]
        """As of the forward operator."""
        return self.forward.efficiency

    @property
    def _work(self) -> Work:
        work = self.gradient.work
        assert work is not None, "a gradient that passes through is no kernel"
        return work

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return self.shapes

    def work(self, tensors: Tensors) -> Work:
        return self._work

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """Bytes of a tensor that are touched [byte]: of a table of embeddings the rows looked up."""
        if tensor.name not in self.outputs:
            return tensor.nbytes
        written, whole = self.gradient.written, tensor.nbytes
        touched = whole if written is None else tensor.dtype.nbytes(written)
        return touched * self.accumulations if tensor.role is Role.GRADIENT else touched

    def partial_output(self, tensors: Tensors) -> bool:
        return self.partial
