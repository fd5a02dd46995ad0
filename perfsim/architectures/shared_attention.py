"""Attention of a layer that reads the keys and values of another layer."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.architectures.attention import Attention, cache_length
from perfsim.architectures.attention_kernels import ATTENTION_KERNELS
from perfsim.architectures.step import Step
from perfsim.graph import GraphBuilder
from perfsim.ops import Elementwise, Linear, Norm

__all__ = ["SharedAttention"]


@dataclass(frozen=True)
class SharedAttention(Attention):
    """Queries of its own, keys and values of the layers called ``source``: nothing is projected to them or stored.

    References
    ----------
    .. [1] W. Brandon et al., "Reducing Transformer Key-Value Cache Size with Cross-Layer Attention", arXiv 2405.12981.
    .. [2] Y. Sun et al., "You Only Cache Once", arXiv 2405.05254.
    """

    source: str = ""

    def cached_elements(self) -> int:
        """No cache of its own [1]."""
        return 0

    def build(self, b: GraphBuilder, step: Step, x: str, hidden: int) -> str:
        """Add the attention of ``x`` (batch, tokens, hidden) and return its output of equal shape."""
        w = step.weight_dtype
        q: str = b.add(Linear, "attention.query", (x, b.weight("attention.query.weight", self._shape(hidden), w, 1)))
        if self.qkv_bias:
            bias = b.weight("attention.query.bias", (self.heads, self.head_dim), w, 0)
            q = b.add(Elementwise, "attention.query_bias", (q, bias), function="bias")
        if self.query_key_norm:
            per_head = self.query_key_norm == "head"
            shape = (self.head_dim,) if per_head else (self.heads, self.head_dim)
            scale = b.weight("attention.query_norm.weight", shape, w, None if per_head else 0)
            q = b.add(Norm, "attention.query_norm", (q, scale), function=self.norm)
        if self.rotary:
            q = b.add(Elementwise, "attention.rotary", (q,), function="rotary")
        stored = (step.batch, cache_length(step, self.window), self.kv_heads, self.head_dim)
        keys, values = (
            b.view(f"attention.{part}_cache", f"{self.source}.attention.{part}_cache", stored, 2)
            for part in ("key", "value")
        )
        extra = (b.weight("attention.sinks", (self.heads,), w, 0),) if self.sinks else ()
        attended = ATTENTION_KERNELS[step.attention](b, step, (q, keys, values), self.window, extra)
        weight = b.weight("attention.output.weight", (self.heads, self.head_dim, hidden), w, 0)
        y: str = b.add(Linear, "attention.output", (attended, weight), contracted=2)
        if self.output_bias:
            y = b.add(
                Elementwise, "attention.output_bias", (y, b.weight("attention.output.bias", (hidden,), w)),
                function="bias",
            )  # fmt: skip
        return y

    def _shape(self, hidden: int) -> tuple[int, int, int]:
        return hidden, self.heads, self.head_dim
