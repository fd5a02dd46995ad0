"""From logits to the loss of a training step."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Gradient, Operator, Shape, Tensors, Work

__all__ = ["CrossEntropy"]


@dataclass(frozen=True, eq=False)
class CrossEntropy(Operator):
    """Softmax over the last axis of inputs[0] and the logarithm at the labels inputs[1]: (..., classes) → (...,).

    Classes that are spread over devices leave a part of the sum on each: two numbers per position are exchanged, which
    is not counted.

    References
    ----------
    .. [1] M. Shoeybi et al., "Megatron-LM", arXiv 1909.08053, section 3: the loss on sharded logits.
    """

    kind = "cross-entropy"
    reference = "torch.nn.functional.cross_entropy"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape[:-1],)

    def work(self, tensors: Tensors) -> Work:
        """5 operations per logit [FLOP]: maximum, subtract, exponential, sum, divide."""
        return Work(5 * tensors[self.inputs[0]].elements, self.unit, self.compute_dtype(tensors))

    def gradients(self, wanted: tuple[str, ...], tensors: Tensors) -> tuple[Gradient, ...]:
        """Probabilities less one at the label, from the saved logits: the softmax once more, and a subtraction."""
        logits = tensors[self.inputs[0]]
        return (Gradient(wanted, self.inputs, Work(6 * logits.elements, self.unit, logits.dtype)),)
