"""Prompts whose beginning was read before."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import DecoderModel
from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.edit import reshaped
from perfsim.ops import Embedding, Linear
from perfsim.quantities.numbers import Number, maximum
from perfsim.techniques.attention.sites import caches_of, causal_sites
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.workloads import Phase, Plan

__all__ = ["PrefixReuse", "with_new_tokens"]


@dataclass(frozen=True, kw_only=True)
class PrefixReuse(PlanRewrite):
    """The first ``share`` of the prompt is in the cache already, from an earlier request with the same beginning.

    The prompt pass computes only the new tokens, which attend to all positions; at least one token is computed. The
    cache holds the whole prompt and is counted for every sequence: prefixes that several sequences of a batch share are
    not stored once (a bound from above). Time to find the prefix is not counted. Decoding does not change.

    A cache of latents is expanded to keys and values for the cached positions, too, in every layer again.

    References
    ----------
    .. [1] L. Zheng et al., "SGLang: RadixAttention", arXiv 2312.07104.
    """

    share: float = parameter(0.9, "share of the prompt whose keys and values are cached", least=0.0, most=1.0)

    name = "prefix-reuse"
    reference = "arXiv 2312.07104"
    neutral = {"share": 0.0}
    idempotent = False

    def requires(self, plan: Plan, context: Context) -> str | None:
        if not isinstance(context.model, DecoderModel):
            return "its prompt is not read from the first token to the last, so nothing of it can be reused"
        readable = any(p.stage == "prefill" and causal_sites(p.graph) for p in plan.phases)
        if not readable and any(p.stage == "prefill" for p in plan.phases):
            return "it has no attention to earlier positions, so nothing of a prompt can be reused"
        return None if readable else "the job reads no prompt; use a task with one, e.g. inference"

    def apply(self, plan: Plan, context: Context) -> Plan:
        if self.share == 0:
            return plan
        return plan.replace(phases=tuple(self._shorter(phase) for phase in plan.phases))

    def _shorter(self, phase: Phase) -> Phase:
        if phase.stage != "prefill" or phase.network or not causal_sites(phase.graph):
            return phase
        tokens = phase.tokens / phase.sequences
        new = maximum(tokens * (1 - self.share), 1)
        return replace(phase, graph=with_new_tokens(phase.graph, new), tokens=phase.sequences * new)


def with_new_tokens(graph: OperatorGraph, tokens: Number) -> OperatorGraph:
    """The graph of a pass over the last ``tokens`` tokens of each sequence; what attention sees stays."""
    looked_up = {op.inputs[0] for op in graph.operators if isinstance(op, Embedding)}

    def cut(tensor: Tensor) -> Tensor:
        if tensor.role is not Role.INDEX or tensor.name not in looked_up:
            return tensor
        return tensor.replace(shape=(tensor.shape[0], tokens))

    fewer = reshaped(replace(graph, tensors={name: cut(tensor) for name, tensor in graph.tensors.items()}))
    return _expanded_again(fewer, tokens)


def _expanded_again(graph: OperatorGraph, tokens: Number) -> OperatorGraph:
    """The graph in which keys and values that are made of cached latents are made for the cached positions, too."""
    tensors, before = dict(graph.tensors), dict[str, Operator]()
    for site in causal_sites(graph):
        expand = graph.producer(site.inputs[1])
        maker = None if expand is None else graph.producer(expand.inputs[0])
        caches = [name for name in caches_of(graph, site) if not tensors[name].view_of]
        if tensors[site.inputs[1]].role is Role.KV_CACHE or not isinstance(maker, Linear) or len(caches) != 1:
            continue
        old, new = tensors[maker.inputs[0]], f"{maker.name}.cached"
        batch, _, rank = old.shape
        cached = (batch, site.context - tokens, rank)
        tensors[new] = tensors[caches[0]].replace(name=new, shape=cached, view_of=caches[0], region=site.region)
        outputs = tuple(f"{name}.cached" for name in maker.outputs)
        tensors |= {made: tensors[name].replace(name=made) for made, name in zip(outputs, maker.outputs, strict=True)}
        again = replace(maker, name=new, inputs=(new, *maker.inputs[1:]), outputs=outputs)
        before[site.name] = again
    operators = (each for op in graph.operators for each in ([before[op.name], op] if op.name in before else [op]))
    return reshaped(replace(graph, operators=tuple(operators), tensors=tensors))
