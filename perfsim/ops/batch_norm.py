"""Batch normalisation: at inference where it could not be folded into a convolution, and in training."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Gradient, Operator, Shape, Tensors, Work

__all__ = ["BatchNorm", "BatchStatistics"]


@dataclass(frozen=True, eq=False)
class BatchNorm(Operator):
    """Scale and shift per channel with stored statistics: inputs are features, weight, bias, mean, variance.

    References
    ----------
    .. [1] S. Ioffe, C. Szegedy, "Batch Normalization", arXiv 1502.03167.
    """

    kind = "batch-norm"
    reference = "arXiv 1502.03167"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def work(self, tensors: Tensors) -> Work:
        """A multiplication and an addition per element [FLOP]; the factors are per channel and not counted."""
        return Work(2 * tensors[self.inputs[0]].elements, self.unit, self.compute_dtype(tensors))


@dataclass(frozen=True, eq=False)
class BatchStatistics(BatchNorm):
    """Batch normalisation with the statistics of the batch, as in training. Features are taken to be read once."""

    def work(self, tensors: Tensors) -> Work:
        """Mean and variance (1 and 3), scale and shift (2) per element [FLOP]."""
        return Work(6 * tensors[self.inputs[0]].elements, self.unit, self.compute_dtype(tensors))

    def gradients(self, wanted: tuple[str, ...], tensors: Tensors) -> tuple[Gradient, ...]:
        """One kernel for features, scale and shift: two sums over the batch (3), then the gradient (5 per element)."""
        work = Work(8 * tensors[self.inputs[0]].elements, self.unit, self.compute_dtype(tensors))
        return (Gradient(wanted, self.inputs[:2], work),)
