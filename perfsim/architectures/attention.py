"""Multi-head, grouped-query and multi-query attention."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.architectures.attention_kernels import ATTENTION_KERNELS, rotate_and_store
from perfsim.architectures.step import Step
from perfsim.errors import ConfigError
from perfsim.graph import GraphBuilder, Role
from perfsim.ops import CacheWrite, Elementwise, Linear, Norm
from perfsim.quantities.numbers import Number, ceil_div, minimum

__all__ = ["Attention", "cache_length"]


def cache_length(step: Step, window: Number | None) -> Number:
    """Positions that the cache holds: whole pages, and never more than a sliding window needs."""
    stored = step.context if window is None else minimum(step.context, window)
    return ceil_div(stored, step.block_tokens) * step.block_tokens if step.attention == "paged" else stored


@dataclass(frozen=True)
class Attention:
    """Attention with ``heads`` query heads that share ``kv_heads`` key/value heads.

    qkv_bias, output_bias: biases of the projections; window: sliding window in positions, or None;
    rotary: whether queries and keys are rotated; query_key_norm: "", "head" (over head_dim) or "full" (over all
    heads); query_key_norm_bias; norm: function of those norms; sinks: one learned logit per head.

    References
    ----------
    .. [1] A. Vaswani et al., arXiv 1706.03762. [2] N. Shazeer, arXiv 1911.02150. [3] J. Ainslie et al.,
       arXiv 2305.13245.
    """

    heads: int
    kv_heads: int
    head_dim: int
    qkv_bias: bool = False
    output_bias: bool = False
    window: int | None = None
    rotary: bool = True
    query_key_norm: str = ""
    norm: str = "rmsnorm"
    norm_bias: bool = False
    sinks: bool = False

    def __post_init__(self) -> None:
        if self.heads % self.kv_heads:
            raise ConfigError(f"{self.heads} attention heads cannot share {self.kv_heads} key/value heads evenly")

    def cached_elements(self) -> int:
        """Cache elements per position and layer [1]: keys and values of every key/value head."""
        return 2 * self.kv_heads * self.head_dim

    def build(self, b: GraphBuilder, step: Step, x: str, hidden: int) -> str:
        """Add the attention of ``x`` (batch, tokens, hidden) and return its output of equal shape."""
        q, k, v = self._project(b, step, x, hidden)
        q, k = self._normalise(b, step, q, k)
        q, k = rotate_and_store(b, q, k, self.rotary)
        keys, values = self._store(b, step, k, v)
        extra = (b.weight("attention.sinks", (self.heads,), step.weight_dtype, 0),) if self.sinks else ()
        attended = ATTENTION_KERNELS[step.attention](b, step, (q, keys, values), self.window, extra)
        weight = b.weight("attention.output.weight", (self.heads, self.head_dim, hidden), step.weight_dtype, 0)
        y: str = b.add(Linear, "attention.output", (attended, weight), contracted=2)
        if self.output_bias:
            bias = b.weight("attention.output.bias", (hidden,), step.weight_dtype)
            y = b.add(Elementwise, "attention.output_bias", (y, bias), function="bias")
        return y

    def _project(self, b: GraphBuilder, step: Step, x: str, hidden: int) -> tuple[str, str, str]:
        heads = {"query": self.heads, "key": self.kv_heads, "value": self.kv_heads}
        weights = tuple(
            b.weight(f"attention.{name}.weight", (hidden, n, self.head_dim), step.weight_dtype, 1)
            for name, n in heads.items()
        )
        qkv: tuple[str, str, str] = b.add(Linear, "attention.qkv", (x, *weights), outputs=("q", "k", "v"))
        if self.qkv_bias:
            biases = tuple(
                b.weight(f"attention.{name}.bias", (n, self.head_dim), step.weight_dtype, 0)
                for name, n in heads.items()
            )
            qkv = b.add(Elementwise, "attention.qkv_bias", (*qkv, *biases), outputs=("q", "k", "v"), function="bias")
        return qkv

    def _normalise(self, b: GraphBuilder, step: Step, q: str, k: str) -> tuple[str, str]:
        if not self.query_key_norm:
            return q, k
        results = []
        for name, tensor, heads in (("query", q, self.heads), ("key", k, self.kv_heads)):
            per_head = self.query_key_norm == "head"
            shape = (self.head_dim,) if per_head else (heads, self.head_dim)
            parts = ("weight", "bias") if self.norm_bias else ("weight",)
            shard = None if per_head else 0
            params = tuple(b.weight(f"attention.{name}_norm.{p}", shape, step.weight_dtype, shard) for p in parts)
            results.append(b.add(Norm, f"attention.{name}_norm", (tensor, *params), function=self.norm))
        return results[0], results[1]

    def _store(self, b: GraphBuilder, step: Step, k: str, v: str) -> tuple[str, str]:
        if step.training:
            return k, v
        shape = (step.batch, cache_length(step, self.window), self.kv_heads, self.head_dim)
        caches = tuple(
            b.tensor(f"attention.{name}_cache", shape, step.cache_dtype, Role.KV_CACHE, shard=2)
            for name in ("key", "value")
        )
        b.add(CacheWrite, "attention.cache_write", (k, v, *caches), outputs=())
        return caches[0], caches[1]
