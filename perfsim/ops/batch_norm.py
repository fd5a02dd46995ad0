"""Batch normalisation: at inference where it could not be folded into a convolution, and in training."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Gradient, Operator, Shape, Tensors, Work

__all__ = ["BatchMoments", "BatchNorm", "BatchNormalise"]


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
class BatchMoments(Operator):
    """Mean and variance of every channel over the batch: (batch, channels, ...) → (2, channels)."""

    kind = "batch-moments"
    reference = "arXiv 1502.03167"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return ((2, tensors[self.inputs[0]].shape[1]),)

    def work(self, tensors: Tensors) -> Work:
        """An addition for the mean, a subtraction, a product and an addition for the variance per element [FLOP]."""
        return Work(4 * tensors[self.inputs[0]].elements, self.unit, self.compute_dtype(tensors))


@dataclass(frozen=True, eq=False)
class BatchNormalise(BatchNorm):
    """Batch normalisation with the moments of the batch, as in training: inputs are features, weight, bias, moments.

    Features are read twice, for the moments and to be normalised, and so are features and gradients in the backward
    pass, unless a kernel keeps them on the chip in between.
    """

    def gradients(self, wanted: tuple[str, ...], tensors: Tensors) -> tuple[Gradient, ...]:
        """Two sums over the batch, which are the gradients of scale and shift (3 per element), then that of the
        features (5 per element), through the moments too.
        """
        features, *parameters = self.inputs[:3]
        elements, dtype = tensors[features].elements, self.compute_dtype(tensors)
        sums = Gradient(tuple(parameters), (features,), Work(3 * elements, self.unit, dtype))
        own = Gradient((features,), (features, parameters[0]), Work(5 * elements, self.unit, dtype))
        return (sums, own) if features in wanted else (sums,)
