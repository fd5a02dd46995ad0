"""Table look-ups: token and learned position embeddings."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Gradient, Operator, Shape, Tensor, Tensors, Work
from perfsim.quantities.dtypes import DType
from perfsim.quantities.numbers import Number

__all__ = ["Embedding"]


@dataclass(frozen=True, eq=False)
class Embedding(Operator):
    """Rows of ``inputs[1]`` (entries, width) for the indices of ``inputs[0]`` (batch, tokens).

    Only the rows looked up are traffic, never the whole table.
    """

    kind = "embedding"
    reference = "torch.nn.functional.embedding"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return ((*tensors[self.inputs[0]].shape, tensors[self.inputs[1]].shape[-1]),)

    def work(self, tensors: Tensors) -> Work:
        return Work(0, self.unit, self.compute_dtype(tensors))

    def compute_dtype(self, tensors: Tensors) -> DType:
        return tensors[self.outputs[0]].dtype

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        if tensor.name != self.inputs[1]:
            return tensor.nbytes
        rows = tensors[self.inputs[0]].elements
        return tensor.dtype.nbytes(rows * tensor.shape[-1])

    def partial_output(self, tensors: Tensors) -> bool:
        return tensors[self.inputs[1]].shard == 0

    def gradients(self, wanted: tuple[str, ...], tensors: Tensors) -> tuple[Gradient, ...]:
        """The gradients of the looked-up rows are added to those of the table; no other row is touched."""
        looked_up = tensors[self.outputs[0]].elements
        work = Work(looked_up, self.unit, self.compute_dtype(tensors))
        return (Gradient(wanted, self.inputs[:1], work, written=looked_up),)
