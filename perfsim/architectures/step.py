"""One pass through a network: how many sequences and positions, in which number formats."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.quantities.dtypes import DType
from perfsim.quantities.numbers import Number

__all__ = ["Step"]


@dataclass(frozen=True, eq=False)
class Step:
    """What one pass works on.

    batch: sequences; tokens: new positions per sequence; context: positions that the last of them sees,
    itself included; dtype, weight_dtype, cache_dtype: formats of activations, weights and KV cache;
    attention: ``naive``, ``fused`` or ``paged``; block_tokens: positions per page of a paged cache;
    decode: whether this is a decode step (latent attention then works in the latent space); all_logits: whether the
    stack computes logits of every position, in fp32, instead of the last position only; source: positions that an
    encoder read before this decode step; training: whether the pass ends with the loss of every position, and keeps
    nothing for later steps; dropout: whether it drops attention weights, and what branches add to the residual stream.
    """

    batch: Number
    tokens: Number
    context: Number
    dtype: DType
    weight_dtype: DType
    cache_dtype: DType
    attention: str = "fused"
    block_tokens: int = 1
    decode: bool = False
    all_logits: bool = False
    source: Number = 0
    training: bool = False
    dropout: bool = False
