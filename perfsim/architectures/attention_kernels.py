"""Three ways to run attention, as three different graphs: naive, fused, paged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from perfsim.architectures.step import Step
from perfsim.graph import GraphBuilder, Role
from perfsim.ops import Dropout, Elementwise, FusedAttention, Scores, Softmax, Values
from perfsim.quantities.dtypes import DTYPES
from perfsim.quantities.numbers import Number, ceil_div

__all__ = ["ATTENTION_KERNELS", "AttentionKernel", "dropped", "rotate_and_store"]

AttentionKernel = Callable[..., str]
"""(builder, step, (queries, keys, values), window, further inputs, value_dim=0, name="attention", context=None) →
attended features. ``context``: positions that every query sees, both ways; None for the causal mask of the step."""


def naive(
    b: GraphBuilder, step: Step, qkv: tuple[str, str, str], window: Number | None, extra: tuple[str, ...],
    value_dim: int = 0, name: str = "attention", context: Number | None = None,
) -> str:  # fmt: skip
    """Scores, mask, softmax in fp32 and weighted values, each on every (query, key) pair in memory.

    The mask hides future and far positions but saves no work. A stack may have a fused kernel for the steps between
    the two products.
    """
    queries, keys, values = qkv
    seen = step.context if context is None else context
    causal = context is None
    scores = b.add(Scores, f"{name}.scores", (queries, keys), context=seen, causal=causal, window=window)
    if step.training:  # one kernel that works in fp32 inside: what it saves is as wide as what it reads
        hidden = b.add(Elementwise, f"{name}.mask", (scores,), function="mask")
        shares = dropped(b, step, f"{name}.dropout", b.add(Softmax, f"{name}.softmax", (hidden, *extra)))
        weighted: str = b.add(Values, f"{name}.values", (shares, values), value_dim=value_dim)
        return weighted
    wide = b.add(Elementwise, f"{name}.upcast", (scores,), dtype=DTYPES["fp32"], function="upcast")
    masked = b.add(Elementwise, f"{name}.mask", (wide,), function="mask")
    probabilities = b.add(Softmax, f"{name}.softmax", (masked, *extra))
    narrow = b.add(Elementwise, f"{name}.downcast", (probabilities,), dtype=step.dtype, function="downcast")
    attended: str = b.add(Values, f"{name}.values", (narrow, values), value_dim=value_dim)
    return attended


def fused(
    b: GraphBuilder, step: Step, qkv: tuple[str, str, str], window: Number | None, extra: tuple[str, ...],
    value_dim: int = 0, name: str = "attention", context: Number | None = None,
) -> str:  # fmt: skip
    """One kernel; scores stay on chip and only visible pairs are computed."""
    attended: str = b.add(
        FusedAttention, f"{name}.fused", (*qkv, *extra), context=step.context if context is None else context,
        causal=context is None, window=window, value_dim=value_dim,
    )  # fmt: skip
    return attended


def paged(
    b: GraphBuilder, step: Step, qkv: tuple[str, str, str], window: Number | None, extra: tuple[str, ...],
    value_dim: int = 0, name: str = "attention", context: Number | None = None,
) -> str:  # fmt: skip
    """The fused kernel over a cache in pages: it reads a block table; memory is taken in whole pages."""
    if context is not None:  # what an encoder left is not in pages
        return fused(b, step, qkv, window, extra, value_dim, name, context)
    pages = ceil_div(step.context, step.block_tokens)
    table = b.tensor(f"{name}.block_table", (step.batch, pages), DTYPES["int32"], Role.INDEX)
    attended: str = b.add(
        FusedAttention,
        f"{name}.paged",
        (*qkv, table, *extra),
        context=step.context,
        window=window,
        value_dim=value_dim,
    )
    return attended


def dropped(b: GraphBuilder, step: Step, name: str, x: str) -> str:
    """``x`` after dropout, where the pass has it."""
    if not step.dropout:
        return x
    kept: tuple[str, str] = b.add(Dropout, name, (x,), outputs=("", "mask"), dtypes=(None, DTYPES["int8"]))
    return kept[0]


def rotate_and_store(b: GraphBuilder, q: str, k: str, rotary: bool) -> tuple[str, str]:
    """Rotary position embedding of queries and keys, where the model has one."""
    if not rotary:
        return q, k
    turned: tuple[str, str] = b.add(Elementwise, "attention.rotary", (q, k), outputs=("q", "k"), function="rotary")
    return turned


ATTENTION_KERNELS: Mapping[str, AttentionKernel] = MappingProxyType({"naive": naive, "fused": fused, "paged": paged})
"""By the name that a stack gives."""
