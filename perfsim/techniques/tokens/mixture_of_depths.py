"""Tokens that go around some of the layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.edit import reshaped
from perfsim.graph.regions import carried, split_region
from perfsim.ops import FusedAttention, Scores
from perfsim.ops.tokens import ReduceTokens, RestoreTokens, TokenScores
from perfsim.quantities.numbers import Number, maximum
from perfsim.techniques.attention.sites import causal_sites, prompt_of, shortened
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.tokens.reduction import token_problem, token_regions, whole_tokens
from perfsim.workloads import Phase, Plan

__all__ = ["MixtureOfDepths"]


@dataclass(frozen=True, kw_only=True)
class MixtureOfDepths(PlanRewrite):
    """In ``layers`` of the layers only ``share`` of the tokens are worked on; the others pass by unchanged.

    In front of each such layer a router (one vector of weights) scores all tokens, the best are gathered, and behind it
    they are written back. Prompts and images gain; of a decode step the weights are read whichever tokens go through,
    so only its reads of the shorter caches shrink (a bound from above for a batch of one, where a layer may be skipped
    altogether).

    References
    ----------
    .. [1] D. Raposo et al., "Mixture-of-Depths", arXiv 2404.02258.
    """

    share: float = parameter(0.125, "tokens that a routed layer works on, over all", least=0.0001, most=1.0)
    layers: float = parameter(0.5, "routed layers over all layers", least=0.0, most=1.0)

    name = "mixture-of-depths"
    reference = "arXiv 2404.02258"
    neutral = {"layers": 0.0}
    idempotent = False

    def requires(self, plan: Plan, context: Context) -> str | None:
        problems = [token_problem(p.graph, restored=True) for p in plan.phases if not p.network]
        return next((problem for problem in problems if problem), None)

    def apply(self, plan: Plan, context: Context) -> Plan:
        prompt = prompt_of(plan.job, context.model)
        return plan.replace(phases=tuple(self._routed(phase, prompt) for phase in plan.phases))

    def _routed(self, phase: Phase, prompt: Number) -> Phase:
        graph, decode = phase.graph, phase.stage == "decode"
        if phase.network or self.share == 1 or (decode and not causal_sites(graph)):
            return phase
        for region in token_regions(graph):
            count = int(graph.regions[region])
            routed = round(count * self.layers)
            if not routed:
                continue
            graph = split_region(graph, region, [routed, count - routed])
            name = region if routed == count else f"{region}.0"
            fewer = {name: prompt * (1 - self.share)}
            graph = shortened(graph, fewer) if decode else self._around(graph, name)
        return replace(phase, graph=graph)

    def _around(self, graph: OperatorGraph, region: str) -> OperatorGraph:
        """One region whose layers see the best tokens only."""
        entering, leaving = carried(graph, region)
        stream = graph.tensors[entering]
        kept = whole_tokens(stream.shape[1] * self.share)
        names = {part: f"{region}.routing.{part}" for part in ("weight", "scores", "tokens", "restored")}
        tensors = dict(graph.tensors)
        for part, name in names.items():
            tensors[name] = stream.replace(name=name, region=region)
            if part == "weight":
                tensors[name] = stream.replace(name=name, region=region, shape=(stream.shape[-1],), role=Role.WEIGHT)
        score = (entering, names["weight"]), (names["scores"],), region, 2 * int(stream.shape[-1])
        into = [
            TokenScores(f"{region}.routing.score", *score),
            ReduceTokens(
                f"{region}.routing.gather", (entering, names["scores"]), (names["tokens"],), region, kept
            ),
        ]
        back = RestoreTokens(f"{region}.routing.restore", (entering, leaving), (names["restored"],), region)
        operators = _wrapped(graph, region, into, back, stream.shape[1] - kept)
        cut = {t.name: _shorter(t, region, stream.shape[1] - kept) for t in tensors.values()}
        return reshaped(replace(graph, operators=tuple(operators), tensors=cut))


def _shorter(tensor: Tensor, region: str, gone: Number) -> Tensor:
    if tensor.region != region or tensor.role is not Role.KV_CACHE or len(tensor.shape) != 4:
        return tensor
    batch, stored, *rest = tensor.shape
    return tensor.replace(shape=(batch, maximum(stored - gone, 1), *rest))


def _wrapped(
    graph: OperatorGraph, region: str, into: list[Operator], back: Operator, gone: Number
) -> list[Operator]:
    """The operators with ``into`` in front of and ``back`` behind those of a region."""
    entering, leaving = back.inputs
    tokens, restored = into[-1].outputs[0], back.outputs[0]
    inside = [index for index, op in enumerate(graph.operators) if op.region == region]
    result = list[Operator]()
    for index, op in enumerate(graph.operators):
        if index == inside[0]:
            result += into
        old, new = (entering, tokens) if op.region == region else (leaving, restored)
        moved = replace(op, inputs=tuple(new if name == old else name for name in op.inputs))
        if op.region == region and isinstance(moved, FusedAttention | Scores):
            moved = replace(moved, context=moved.context - gone)
        result.append(moved)
        if index == inside[-1]:
            result.append(back)
    return result
