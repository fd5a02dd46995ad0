"""A KV cache in fewer bits."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import OperatorGraph, Role
from perfsim.quantities.dtypes import DTYPES
from perfsim.techniques.attention.sites import cacheless
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.workloads import Plan

__all__ = ["CacheQuantization"]


@dataclass(frozen=True, kw_only=True)
class CacheQuantization(GraphRewrite):
    """Keys and values (or latents) stored in ``format``; attention computes in the format of the activations.

    Scales (one per tensor or per head) are left out: below one per mille of the cache. Unpacking happens in the
    attention kernel and is not charged, which holds for memory-bound decode.

    References
    ----------
    .. [1] C. Hooper et al., "KVQuant", arXiv 2401.18079.
    """

    format: str = parameter("fp8_e4m3", "number format of the cache", choices=tuple(DTYPES))

    name = "kv-cache-quantization"
    reference = "arXiv 2401.18079"

    def requires(self, plan: Plan, context: Context) -> str | None:
        return cacheless(plan)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        chosen = DTYPES[self.format]
        tensors = {n: t.replace(dtype=chosen) if t.role is Role.KV_CACHE else t for n, t in graph.tensors.items()}
        return replace(graph, tensors=tensors)
