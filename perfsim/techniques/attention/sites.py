"""Where a graph attends to a cache, and the same graph with fewer positions in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from perfsim.architectures import LanguageModel, Model
from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.edit import reshaped
from perfsim.ops import CacheWrite, FusedAttention, Scores
from perfsim.quantities.numbers import Number, maximum, minimum
from perfsim.workloads import Decode, Job, Plan

__all__ = ["cacheless", "caches_of", "causal_sites", "first_layers", "held_by_layer", "prompt_of", "shortened"]


def causal_sites(graph: OperatorGraph) -> tuple[FusedAttention | Scores, ...]:
    """The operators that look back at earlier positions, fused or as the first step of three."""
    return tuple(op for op in graph.operators if isinstance(op, FusedAttention | Scores) and op.causal)


def prompt_of(job: Job, model: Model) -> Number:
    """Positions that the model holds when decoding begins [1]; a lone decode step has nothing else."""
    if isinstance(job, Decode):
        return job.context_length
    prompt = getattr(job, "prompt_tokens", 0)
    return model.held(prompt) if isinstance(model, LanguageModel) else prompt


def cacheless(plan: Plan) -> str | None:
    """Why a technique that acts on the KV cache cannot apply, or None."""
    held = any(t.role is Role.KV_CACHE for phase in plan.phases for t in phase.graph.tensors.values())
    return None if held else "the job keeps no KV cache"


def first_layers(graph: OperatorGraph) -> dict[int, str]:
    """The regions by their first layer, counted from 0 over all regions."""
    layers, start = dict[int, str](), 0
    for region, count in graph.regions.items():
        layers[start] = region
        start += count
    return layers


def held_by_layer(graph: OperatorGraph) -> dict[int, Number]:
    """What every layer with a cache holds once a prompt was read by ``graph``: all that its last query sees [1]."""
    contexts = {op.region: op.context for op in causal_sites(graph)}
    held: dict[int, Number] = {}
    for start, region in first_layers(graph).items():
        if region in contexts:
            held |= dict.fromkeys(range(start, start + graph.regions[region]), contexts[region])
    return held


def shortened(graph: OperatorGraph, dropped: Mapping[str, Number], attend: bool = True) -> OperatorGraph:
    """The graph with ``dropped`` positions less in the caches of each region named.

    attend: whether attention sees fewer positions, too (after the prompt), or only the caches are shorter.
    """
    tensors = dict(graph.tensors)
    changed: dict[str, Operator] = {}
    for op in causal_sites(graph):
        if op.region not in dropped:
            continue
        context = op.context - dropped[op.region]
        for name in caches_of(graph, op):
            batch, stored, *rest = tensors[name].shape
            kept = maximum(minimum(stored, context), stored - dropped[op.region])  # what whole pages add stays
            tensors[name] = tensors[name].replace(shape=(batch, kept, *rest))
        if attend:
            changed[op.name] = replace(op, context=context)
    operators = tuple(changed.get(op.name, op) for op in graph.operators)
    return reshaped(replace(graph, operators=operators, tensors=tensors))


def caches_of(graph: OperatorGraph, site: Operator) -> set[str]:
    """Caches of the positions that one attention looks back at: those it reads, or whose other half it reads."""
    found = {n for n in site.inputs if graph.tensors[n].role is Role.KV_CACHE}
    across = {name for op in graph.operators if _looks_across(op, site.region) for name in op.inputs}
    for op in graph.operators:
        if isinstance(op, CacheWrite) and op.region == site.region and not across & set(op.inputs):
            found |= {name for name in op.inputs if graph.tensors[name].role is Role.KV_CACHE}
    return found | {t.name for t in graph.tensors.values() if t.view_of in found or _borrowed(t, site.region)}


def _looks_across(op: Operator, region: str) -> bool:
    return isinstance(op, FusedAttention | Scores) and not op.causal and op.region == region


def _borrowed(tensor: Tensor, region: str) -> bool:
    """Whether a layer reads the cache of another one under a name of its own."""
    return tensor.role is Role.KV_CACHE and bool(tensor.view_of) and tensor.region == region
