"""Forgetting entries of the KV cache after the prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.edit import exchanged
from perfsim.ops import FusedAttention, Scores
from perfsim.ops.cache_edits import CompactCache, ObservedScores
from perfsim.quantities.dtypes import DTYPES
from perfsim.quantities.numbers import Number, maximum, minimum
from perfsim.techniques.attention.sites import (
    caches_of,
    causal_sites,
    first_layers,
    held_by_layer,
    prompt_of,
    shortened,
)
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.tokens.layers import layer_values, numbers_of, split_layers
from perfsim.workloads import Phase, Plan

__all__ = ["CacheEviction"]


@dataclass(frozen=True, kw_only=True)
class CacheEviction(PlanRewrite):
    """After the prompt every layer keeps ``keep`` of its entries, at most ``budget``; what is written later stays.

    The prompt is read as before. Then the last ``observed`` queries are scored against all keys once more, because a
    fused kernel leaves no scores (0: importance costs nothing, e.g. a window and sinks), and the kept entries are
    copied together. Decoding reads and holds fewer positions. Layers may keep different shares, from the first to the
    last, e.g. ``0.9+0.5+0.2`` for thirds of the network, as PrefixKV finds them under one global budget. A layer is
    cut as soon as its prompt is read, so the peak is that of the shortened cache.

    Left out: the search of the shares, done once per model; what forgetting costs in quality.

    References
    ----------
    .. [1] A. Wang et al., "PrefixKV", arXiv 2412.03409. [2] Y. Li et al., "SnapKV", arXiv 2404.14469.
    .. [3] Z. Zhang et al., "H2O", arXiv 2306.14048.
    """

    keep: str = parameter("0.5", "share of the prompt's entries that stays, by layer", unit="list")
    budget: int = parameter(0, "most entries of the prompt that a layer keeps; 0: no limit", least=0, most=10**9)
    observed: int = parameter(32, "last queries that tell the importance of entries", least=0, most=10**6)

    name = "kv-eviction"
    reference = "arXiv 2412.03409"
    neutral = {"keep": "1", "budget": 0}
    idempotent = False
    turn = 3

    def requires(self, plan: Plan, context: Context) -> str | None:
        numbers_of(self.keep, f"{self.name}: keep", 0, 1)
        return None if any(causal_sites(p.graph) for p in plan.phases) else "it keeps no cache of earlier positions"

    def apply(self, plan: Plan, context: Context) -> Plan:
        if not self.budget and set(numbers_of(self.keep, "keep", 0, 1)) == {1}:
            return plan
        prompt = prompt_of(plan.job, context.model)
        held = next((held_by_layer(p.graph) for p in plan.phases if p.stage == "prefill" and not p.network), {})
        return plan.replace(phases=tuple(self._cut(phase, prompt, held) for phase in plan.phases))

    def _cut(self, phase: Phase, prompt: Number, held: Mapping[int, Number]) -> Phase:
        if phase.network or not causal_sites(phase.graph):
            return phase
        decode, graph = phase.stage == "decode", phase.graph
        shares = layer_values(numbers_of(self.keep, "keep", 0, 1), sum(graph.regions.values()))
        graph, by_region = split_layers(graph, shares)
        dropped = {}
        for layer, region in first_layers(graph).items():
            present = held.get(layer, prompt)
            dropped[region] = present - self._kept(present, by_region[region])
        graph = shortened(graph, dropped, attend=decode)
        return replace(phase, graph=graph if decode or not self.observed else self._measured(graph))

    def _kept(self, prompt: Number, share: float) -> Number:
        kept = maximum(share * prompt, 1) if share < 1 else prompt
        return minimum(kept, self.budget) if self.budget else kept

    def _measured(self, graph: OperatorGraph) -> OperatorGraph:
        """The prompt with importance and copies behind every attention."""

        def measured(op: FusedAttention | Scores, tensors: dict[str, Tensor]) -> Iterator[Operator]:
            yield op
            kept = tuple(sorted(n for n in caches_of(graph, op) if not tensors[n].view_of))
            if not kept:
                return
            queries, keys = (tensors[name] for name in op.inputs[:2])
            name, shape = f"{op.name}.importance", (queries.shape[0], keys.shape[2], op.context)
            tensors[name] = queries.replace(
                name=name, shape=shape, dtype=DTYPES["fp32"], role=Role.ACTIVATION, region=op.region
            )
            yield ObservedScores(f"{name}.score", op.inputs[:2], (name,), op.region, op.context, self.observed)
            yield CompactCache(f"{name}.compact", (name, *kept), (), op.region)

        return exchanged(graph, causal_sites(graph), measured)
