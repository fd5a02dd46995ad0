"""Convolutions whose kernel is mixed for every example."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from perfsim.graph import MatrixShape, Operator, Shape, Tensor, Tensors, Unit, Work
from perfsim.ops.conv import Conv

__all__ = ["KernelMix", "PerExampleConv"]


@dataclass(frozen=True, eq=False)
class KernelMix(Operator):
    """Sums of kernels (experts, *kernel) with coefficients (batch, experts): (batch, *kernel).

    References
    ----------
    .. [1] B. Yang et al., "CondConv", arXiv 1904.04971.
    """

    kind = "kernel-mix"
    unit = Unit.TENSOR
    reference = "arXiv 1904.04971"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return ((tensors[self.inputs[0]].shape[0], *tensors[self.inputs[1]].shape[1:]),)

    def work(self, tensors: Tensors) -> Work:
        """2·batch·experts·(numbers of a kernel) [FLOP]: a product of coefficients and stored kernels."""
        batch, experts = tensors[self.inputs[0]].shape
        size = math.prod(tensors[self.inputs[1]].shape[1:])
        return Work(
            2 * batch * experts * size, self.unit, self.compute_dtype(tensors), MatrixShape(1, batch, size, experts)
        )


@dataclass(frozen=True, eq=False)
class PerExampleConv(Operator):
    """The convolution ``plain`` with a kernel (batch, *kernel) of its own for every example.

    The work is that of ``plain``; as a matrix product there is one per example, which is what costs speed: weights are
    not reused over the batch.
    """

    plain: Conv | None = None

    kind = "per-example-conv"
    unit = Unit.TENSOR
    reference = "arXiv 1904.04971"

    def _shared(self, tensors: Tensors) -> tuple[Conv, dict[str, Tensor]]:
        """The convolution with one kernel, and the tensors that it sees."""
        assert self.plain is not None
        kernel = tensors[self.inputs[1]]
        one = kernel.replace(shape=kernel.shape[1:])
        return replace(self.plain, inputs=self.inputs, outputs=self.outputs), {**tensors, self.inputs[1]: one}

    @property
    def fusion_kind(self) -> str:
        assert self.plain is not None
        return self.plain.fusion_kind

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        conv, seen = self._shared(tensors)
        return conv.output_shapes(seen)

    def work(self, tensors: Tensors) -> Work:
        """As the convolution with a shared kernel [FLOP]; ``batch`` products of fewer rows each."""
        conv, seen = self._shared(tensors)
        work, batch = conv.work(seen), tensors[self.inputs[0]].shape[0]
        assert work.matrix is not None
        matrix = replace(work.matrix, batch=work.matrix.batch * batch, m=work.matrix.m / batch)
        return replace(work, matrix=matrix)
