"""Recurrent layers with gates; a cell is a layer of one position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.graph import MatrixShape, Operator, Shape, Tensors, Unit, Work

__all__ = ["Gru", "Lstm"]


@dataclass(frozen=True, eq=False)
class Lstm(Operator):
    """A layer of LSTM cells over (batch, tokens, inputs): (batch, tokens, hidden), and maybe the last states.

    inputs: features, weight (inputs, gates · hidden), recurrent weight (hidden, gates · hidden), then biases and first
    states. The weights are read once: a persistent kernel keeps them on chip for all positions. As a matrix product it
    is one of ``batch`` rows per position, because each position waits for the one before; this is why such layers stay
    far from peak however long the sequence is. The gates' element-wise work is not counted.

    References
    ----------
    .. [1] S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997.
    """

    gates: ClassVar[int] = 4
    """Input, forget, cell, output."""

    kind = "lstm"
    unit = Unit.TENSOR
    reference = "torch.nn.LSTM"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, tokens, _ = tensors[self.inputs[0]].shape
        hidden = tensors[self.inputs[2]].shape[0]
        return ((batch, tokens, hidden), *((batch, hidden),) * (len(self.outputs) - 1))

    def work(self, tensors: Tensors) -> Work:
        """2·batch·tokens·gates·hidden·(inputs + hidden) [FLOP]."""
        batch, tokens, inputs = tensors[self.inputs[0]].shape
        hidden = tensors[self.inputs[2]].shape[0]
        matrix = MatrixShape(tokens, batch, self.gates * hidden, inputs + hidden)
        flops = 2 * matrix.batch * matrix.m * matrix.n * matrix.k
        return Work(flops, self.unit, self.compute_dtype(tensors), matrix)


@dataclass(frozen=True, eq=False)
class Gru(Lstm):
    """A layer of gated recurrent units: reset, update and candidate.

    References
    ----------
    .. [1] K. Cho et al., arXiv 1406.1078.
    """

    gates: ClassVar[int] = 3

    kind = "gru"
    reference = "torch.nn.GRU; arXiv 1406.1078"
