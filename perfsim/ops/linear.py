"""Dense projections: one input times one or more weight matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.graph import Gradient, MatrixShape, Operator, Shape, Tensors, Unit, Work
from perfsim.quantities.numbers import Number

__all__ = ["Linear"]


@dataclass(frozen=True, eq=False)
class Linear(Operator):
    """``outputs[i] = inputs[0] @ inputs[1 + i]``, all products in one kernel.

    inputs: features (*rows, *contracted) and weights (*contracted, *out); ``contracted``: how many axes
    are summed over, so a projection from heads (..., heads, head_dim) contracts two. Query, key and value
    projections, or gate and up projections, are one operator with several weights.
    """

    contracted: int = 1

    kind = "linear"
    unit = Unit.TENSOR
    reference = "torch.nn.functional.linear"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        rows = tensors[self.inputs[0]].shape[: -self.contracted]
        return tuple((*rows, *tensors[w].shape[self.contracted :]) for w in self.inputs[1:])

    def matrix(self, tensors: Tensors) -> MatrixShape:
        """The product as one matrix multiplication: all weights side by side."""
        shape = tensors[self.inputs[0]].shape
        rows: Number = math.prod(shape[: -self.contracted])
        inner: Number = math.prod(shape[-self.contracted :])
        columns = sum(math.prod(tensors[w].shape[self.contracted :]) for w in self.inputs[1:])
        return MatrixShape(1, rows, columns, inner)

    def work(self, tensors: Tensors) -> Work:
        """2·m·n·k [FLOP]."""
        matrix = self.matrix(tensors)
        flops = 2 * matrix.m * matrix.n * matrix.k
        return Work(flops, self.unit, self.compute_dtype(tensors), matrix)

    def partial_output(self, tensors: Tensors) -> bool:
        return any(s is not None and s < self.contracted for s in (tensors[w].shard for w in self.inputs[1:]))

    def gradients(self, wanted: tuple[str, ...], tensors: Tensors) -> tuple[Gradient, ...]:
        """Of the features: gradients times weights, m × k × n; of the weights: features times gradients, k × n × m."""
        features, *weights = self.inputs
        shape, found = self.matrix(tensors), []
        if features in wanted:
            found.append(self._product((features,), tuple(weights), MatrixShape(1, shape.m, shape.k, shape.n), tensors))
        trained = tuple(name for name in weights if name in wanted)
        if trained:
            columns = sum(math.prod(tensors[w].shape[self.contracted :]) for w in trained)
            found.append(self._product(trained, (features,), MatrixShape(1, shape.k, columns, shape.m), tensors))
        return tuple(found)

    def _product(self, of: tuple[str, ...], reads: tuple[str, ...], shape: MatrixShape, tensors: Tensors) -> Gradient:
        flops = 2 * shape.m * shape.n * shape.k
        return Gradient(of, reads, Work(flops, self.unit, self.compute_dtype(tensors), shape))

    def partial_gradient(self, name: str, tensors: Tensors) -> bool:
        """Of the features, where the outputs are spread over the devices: each knows what came through its own."""
        outputs = (tensors[w].shard for w in self.inputs[1:])
        return name == self.inputs[0] and any(axis is not None and axis >= self.contracted for axis in outputs)
