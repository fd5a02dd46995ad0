"""Weights that are read from one array which all layers share."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensor, Tensors, Work
from perfsim.quantities.dtypes import DType
from perfsim.quantities.numbers import Number, maximum, minimum

__all__ = ["SharedArray", "array_bytes"]

SECTOR = 32
"""Bytes that a memory access moves at least [byte]: a sector of the L2 cache of NVIDIA GPUs, arXiv 1804.06826."""


def array_bytes(*, wanted: Number, chunk: Number, array: Number) -> Number:
    """Bytes read for weights that lie in chunks all over an array [byte]; arguments [byte].

    Short chunks move whole sectors: wanted·max(1, 32/chunk); an array that is smaller than that is read once.
    """
    return minimum(wanted * maximum(1, SECTOR / chunk), array)


@dataclass(frozen=True, eq=False)
class SharedArray(Operator):
    """The weights of one product, gathered from an array in chunks whose places a hash gives.

    inputs: the array; shapes: of the weights; chunk: consecutive weights that lie together.
    """

    shapes: tuple[Shape, ...] = ()
    chunk: int = 32

    kind = "dequantize"
    reference = "arXiv 2310.11611"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return self.shapes

    def work(self, tensors: Tensors) -> Work:
        """5 operations per chunk for its place [FLOP]."""
        elements = sum(tensors[name].elements for name in self.outputs)
        return Work(5 * elements / self.chunk, self.unit, self.compute_dtype(tensors))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        if tensor.name != self.inputs[0]:
            return tensor.nbytes
        wanted = sum(tensor.dtype.nbytes(tensors[name].elements) for name in self.outputs)
        return array_bytes(wanted=wanted, chunk=tensor.dtype.nbytes(self.chunk), array=tensor.nbytes)

    def compute_dtype(self, tensors: Tensors) -> DType:
        return tensors[self.outputs[0]].dtype
