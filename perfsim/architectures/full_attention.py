"""Attention of encoders, and of decoders that look at an encoder: every query sees every position of its source."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.architectures.attention import cache_length
from perfsim.architectures.attention_kernels import ATTENTION_KERNELS
from perfsim.architectures.step import Step
from perfsim.graph import GraphBuilder, Role
from perfsim.ops import CacheWrite, Elementwise, Linear
from perfsim.quantities.numbers import Number

__all__ = ["FullAttention"]

_PARTS = ("query", "key", "value")


@dataclass(frozen=True)
class FullAttention:
    """``heads`` heads of ``head_dim``; ``biases``: which of query, key, value and output have one.

    One object serves three places: among the tokens of an encoder (:meth:`within`), among the tokens that a decoder
    has written (:meth:`behind`, causal, with a cache), and from a decoder to its encoder (:meth:`across`).

    References
    ----------
    .. [1] A. Vaswani et al., arXiv 1706.03762.
    """

    heads: int
    head_dim: int
    biases: tuple[str, ...] = ()

    def within(self, b: GraphBuilder, step: Step, x: str, tables: tuple[str, ...] = ()) -> str:
        """Attention of (batch, tokens, width) to itself; ``tables``: weights that are added to the scores."""
        q, k, v = self._project(b, step, x, _PARTS, "attention")
        return self._attend(b, step, x, (q, k, v), "attention", b.shape(x)[1], tables)

    def behind(self, b: GraphBuilder, step: Step, x: str, tables: tuple[str, ...] = ()) -> str:
        """Causal attention of new tokens to all before them, whose keys and values are kept."""
        q, k, v = self._project(b, step, x, _PARTS, "attention")
        keys, values = self._caches(b, step, "attention", cache_length(step, None))
        b.add(CacheWrite, "attention.cache_write", (k, v, keys, values), outputs=())
        return self._attend(b, step, x, (q, keys, values), "attention", None, tables)

    def across(self, b: GraphBuilder, step: Step, x: str, source: str, positions: Number) -> str:
        """Attention of new tokens to ``source`` (batch, positions, width) of an encoder.

        Its keys and values are computed once, with the prompt, and kept: a decode step only reads them.
        """
        (q,) = self._project(b, step, x, _PARTS[:1], "cross")
        keys, values = self._caches(b, step, "cross", positions)
        if not step.decode:
            k, v = self._project(b, step, source, _PARTS[1:], "cross")
            b.add(CacheWrite, "cross.cache_write", (k, v, keys, values), outputs=())
        return self._attend(b, step, x, (q, keys, values), "cross", positions, ())

    def _caches(self, b: GraphBuilder, step: Step, name: str, positions: Number) -> tuple[str, str]:
        shape = (step.batch, positions, self.heads, self.head_dim)
        keys, values = (
            b.tensor(f"{name}.{part}_cache", shape, step.cache_dtype, Role.KV_CACHE, shard=2) for part in _PARTS[1:]
        )
        return keys, values

    def _project(self, b: GraphBuilder, step: Step, x: str, parts: tuple[str, ...], name: str) -> tuple[str, ...]:
        width, shape = b.shape(x)[-1], (self.heads, self.head_dim)
        weights = tuple(b.weight(f"{name}.{part}.weight", (width, *shape), step.weight_dtype, 1) for part in parts)
        made = b.add(Linear, f"{name}.{'_'.join(parts)}", (x, *weights), outputs=parts)
        outputs = dict(zip(parts, made if len(parts) > 1 else (made,), strict=True))
        biased = tuple(part for part in parts if part in self.biases)
        if biased:
            biases = tuple(b.weight(f"{name}.{part}.bias", shape, step.weight_dtype, 0) for part in biased)
            inputs = (*(outputs[part] for part in biased), *biases)
            made = b.add(Elementwise, f"{name}.{'_'.join(biased)}_bias", inputs, outputs=biased, function="bias")
            outputs.update(zip(biased, made if len(biased) > 1 else (made,), strict=True))
        return tuple(outputs[part] for part in parts)

    def _attend(
        self, b: GraphBuilder, step: Step, x: str, qkv: tuple[str, str, str], name: str, context: Number | None,
        tables: tuple[str, ...],
    ) -> str:  # fmt: skip
        attended = ATTENTION_KERNELS[step.attention](b, step, qkv, None, tables, name=name, context=context)
        width = b.shape(x)[-1]
        weight = b.weight(f"{name}.output.weight", (self.heads, self.head_dim, width), step.weight_dtype, 0)
        y: str = b.add(Linear, f"{name}.output", (attended, weight), contracted=2)
        if "output" in self.biases:
            bias = b.weight(f"{name}.output.bias", (width,), step.weight_dtype)
            y = b.add(Elementwise, f"{name}.output_bias", (y, bias), function="bias")
        return y
