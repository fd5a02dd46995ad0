"""Prompts whose beginning was read before."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import DecoderModel
from perfsim.graph import OperatorGraph, Role, Tensor
from perfsim.graph.edit import reshaped
from perfsim.ops import Embedding
from perfsim.quantities.numbers import Number, maximum
from perfsim.techniques.attention.sites import causal_sites
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.workloads import Phase, Plan

__all__ = ["PrefixReuse", "with_new_tokens"]


@dataclass(frozen=True, kw_only=True)
class PrefixReuse(PlanRewrite):
    """The first ``share`` of the prompt is in the cache already, from an earlier request with the same beginning.

    The prompt pass computes only the new tokens, which attend to all positions; at least one token is computed. The
    cache holds the whole prompt and is counted for every sequence: prefixes that several sequences of a batch share are
    not stored once (a bound from above). Time to find the prefix is not counted. Decoding does not change.

    Left out: a latent cache that is expanded in the prompt pass expands the new positions only.

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

    return reshaped(replace(graph, tensors={name: cut(tensor) for name, tensor in graph.tensors.items()}))
