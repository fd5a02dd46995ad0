"""State-space layers: the recurrence step by step, and its dual form as matrix products over chunks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.graph import MatrixShape, Operator, Role, Shape, Tensor, Tensors, Unit, Work
from perfsim.quantities.numbers import Number, minimum

__all__ = ["ChunkedScan", "SelectiveScan", "chunked_scan_flops", "selective_scan_flops"]

STATE_FLOPS = 7
"""Operations per step and entry of the state [FLOP]: decay exp(dt·A) 2, input (dt·x)·B 1, h ← decay·h + input 2,
y += h·C 2. The exponential counts as one."""

CHANNEL_FLOPS = 3
"""Operations per step and channel [FLOP]: dt·x 1, y + D·x 2."""


def selective_scan_flops(*, steps: Number, channels: Number, state: Number) -> Number:
    """Operations of the recurrence [FLOP]: steps·channels·(7·state + 3).

    steps: positions over all sequences [1]; channels, state: sizes of x and of the state of one channel [1].
    """
    return steps * channels * (STATE_FLOPS * state + CHANNEL_FLOPS)


def chunked_scan_flops(
    *, steps: Number, chunk: Number, heads: Number, head_dim: Number, groups: Number, state: Number
) -> Number:
    """Matrix work of the dual form [FLOP], per position: C·Bᵀ 2·chunk·state per group; (mask ∘ C·Bᵀ)·x
    2·chunk·head_dim, states Bᵀ·x and C·states 2·state·head_dim each, per head.

    steps: positions over all sequences; chunk: positions that one product covers; the others are sizes [1].
    Decays and masks (element-wise) are not counted.

    References
    ----------
    .. [1] T. Dao, A. Gu, "Transformers are SSMs", arXiv 2405.21060, section 6.
    """
    per_head = 2 * chunk * head_dim + 4 * state * head_dim
    return steps * (2 * chunk * state * groups + per_head * heads)


@dataclass(frozen=True, eq=False)
class SelectiveScan(Operator):
    """hₜ = exp(dtₜ·A)·hₜ₋₁ + dtₜ·Bₜ·xₜ, yₜ = Cₜ·hₜ + D·xₜ; the state never leaves the chip between positions.

    inputs: x (batch, tokens, *channels), dt (batch, tokens, channels or heads), A, B and C (batch, tokens, …,
    groups · state), then D, and the state that a sequence keeps (batch, channels, state), where there are such.
    groups: pairs of B and C that the channels share; carried: the kept state is read before it is written, as in a
    decode step.

    References
    ----------
    .. [1] A. Gu, T. Dao, "Mamba", arXiv 2312.00752, algorithm 2.
    """

    groups: int = 1
    carried: bool = False

    kind = "scan"
    reference = "arXiv 2312.00752"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def state_size(self, tensors: Tensors) -> Number:
        """Entries of the state of one channel [1]."""
        return tensors[self.inputs[3]].shape[-1] // self.groups

    def work(self, tensors: Tensors) -> Work:
        """See :func:`selective_scan_flops`."""
        batch, tokens, *channels = tensors[self.inputs[0]].shape
        width: Number = math.prod(channels)
        flops = selective_scan_flops(steps=batch * tokens, channels=width, state=self.state_size(tensors))
        return Work(flops, self.unit, self.compute_dtype(tensors))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """The kept state is written, and read before if it is carried over [byte]; everything else once."""
        twice = self.carried and tensor.role is Role.KV_CACHE
        return tensor.nbytes * 2 if twice else tensor.nbytes


@dataclass(frozen=True, eq=False)
class ChunkedScan(SelectiveScan):
    """The same recurrence with one decay per head, by matrix products inside chunks and a scan over chunks.

    inputs as for :class:`SelectiveScan`; head_dim: channels per head; chunk: positions per chunk.

    References
    ----------
    .. [1] T. Dao, A. Gu, "Transformers are SSMs", arXiv 2405.21060, section 6.
    """

    head_dim: int = 64
    chunk: int = 256

    kind = "chunked-scan"
    unit = Unit.TENSOR
    efficiency = "attention_efficiency"
    reference = "arXiv 2405.21060"

    def work(self, tensors: Tensors) -> Work:
        """Matrix work only; see :func:`chunked_scan_flops`."""
        batch, tokens, channels = tensors[self.inputs[0]].shape
        chunk, heads = minimum(self.chunk, tokens), channels // self.head_dim
        flops = chunked_scan_flops(
            steps=batch * tokens, chunk=chunk, heads=heads, head_dim=self.head_dim, groups=self.groups,
            state=self.state_size(tensors),
        )  # fmt: skip
        matrix = MatrixShape(batch * heads * tokens / chunk, chunk, self.head_dim, chunk)
        return Work(flops, self.unit, self.compute_dtype(tensors), matrix)
