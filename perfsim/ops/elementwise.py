"""Element-wise operators: activations, additions, gates, biases, rotary embedding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from perfsim.graph import Gradient, Operator, Role, Shape, Tensor, Tensors, Work
from perfsim.quantities.numbers import Number

__all__ = ["FUNCTIONS", "Elementwise", "Select"]

FUNCTIONS: Mapping[str, float] = MappingProxyType(
    {
        "add": 1,
        "bias": 1,
        "scale": 1,
        "relu": 1,
        "relu2": 2,
        "gelu": 8,  # tanh form: 3 for the cubic, 1 scale, tanh counted 1, 3 to combine
        "silu": 4,  # negate, exp, add, divide
        "gelu-gate": 9,
        "silu-gate": 5,
        "relu-gate": 2,
        "softcap": 3,
        "rotary": 3,  # 2 multiplications and 1 addition per element
        "combine": 2,
        "copy": 0,
        "upcast": 0,
        "downcast": 0,
        "mask": 1,
        "multiply": 1,
        "relu6": 2,
        "sigmoid": 4,  # negate, exp, add, divide
        "hardsigmoid": 4,  # add 3, clip to 0 and 6, divide by 6
        "hardswish": 5,
        "tanh": 1,
        "softshrink": 2,  # compare, subtract
        "complex-multiply": 3,  # 6 per pair of entries
        "softplus": 3,  # exponential, add, logarithm
    }
)
"""Operations per output element [FLOP]; a transcendental function counts as one, as fvcore and XLA do."""


PASSING = frozenset({"add", "copy", "mask", "bias"})
"""Functions whose features have the gradient of the output as it stands: hidden scores have probability 0, and so no
gradient, whatever a mask does with it."""

LINEAR = frozenset({"scale", "upcast", "downcast", "rotary"})
"""Functions whose gradient needs no value of the forward pass, unless a second input is a factor."""


FROM_OUTPUT = frozenset({"relu", "sigmoid", "tanh"})
"""Functions whose slope follows from their output, which frameworks save instead of the input: most often it is saved
anyway, for the layer that reads it (torch derivatives.yaml: ``result``)."""


@dataclass(frozen=True, eq=False)
class Elementwise(Operator):
    """``function`` applied element by element.

    The i-th output has the shape of the i-th input (rotary embedding turns queries and keys at once);
    further inputs are operands (second addend, up projection, bias, tables).
    """

    function: str = "copy"

    kind = "elementwise"

    @property
    def passes_partial_sums(self) -> bool:
        return self.function == "add"

    @property
    def fusion_kind(self) -> str:
        return self.function

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return tuple(tensors[name].shape for name in self.inputs[: len(self.outputs)])

    def work(self, tensors: Tensors) -> Work:
        """Operations per element times elements [FLOP]."""
        elements: Number = sum(tensors[name].elements for name in self.inputs[: len(self.outputs)])
        return Work(FUNCTIONS[self.function] * elements, self.unit, self.compute_dtype(tensors))

    def gradients(self, wanted: tuple[str, ...], tensors: Tensors) -> tuple[Gradient, ...]:
        """Sums pass gradients on, a bias or table adds them up; all else is a kernel with the work of the forward."""
        work = self.work(tensors)
        if self.function in FROM_OUTPUT:
            return (Gradient(wanted, self.outputs, work),)
        if self.function not in PASSING:
            factors = len(self.inputs) > len(self.outputs) or self.function not in LINEAR
            return (Gradient(wanted, self.inputs if factors else (), work),)
        sums = self.inputs if self.function == "add" else self.inputs[: len(self.outputs)]
        features = [name for name in sums if tensors[name].role is not Role.WEIGHT]
        passed = tuple(Gradient((name,), (), None) for name in wanted if name in features)
        summed = tuple(name for name in wanted if name not in features)
        return (*passed, Gradient(summed, (), work)) if summed else passed


@dataclass(frozen=True, eq=False)
class Select(Operator):
    """The features of the last position only: (batch, tokens, width) → (batch, width).

    Generation needs logits of the last prompt token alone; this is where the others are dropped.
    """

    kind = "select"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, _, *rest = tensors[self.inputs[0]].shape
        return ((batch, *rest),)

    def work(self, tensors: Tensors) -> Work:
        return Work(0, self.unit, self.compute_dtype(tensors))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        return tensors[self.outputs[0]].nbytes
