"""Tokens that are dropped at some layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from perfsim.graph import OperatorGraph
from perfsim.graph.regions import carried
from perfsim.quantities.numbers import Number, maximum, minimum
from perfsim.techniques.attention.sites import causal_sites, prompt_of, shortened
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.tokens.layers import numbers_of, split_layers
from perfsim.techniques.tokens.reduction import (
    SCORES,
    reduce_tokens,
    token_layers,
    token_problem,
    token_regions,
    whole_tokens,
)
from perfsim.workloads import Phase, Plan

__all__ = ["TokenPruning"]


@dataclass(frozen=True, kw_only=True)
class TokenPruning(PlanRewrite):
    """In front of some layers tokens are ranked, and the best ``keep`` of those that may go stay.

    ``at`` places the cuts, as shares of the depth, e.g. ``0.25+0.5+0.75`` for layers 3, 6 and 9 of 12. All later layers
    see fewer tokens: products shrink with them, attention with their square. Ranking costs what ``score`` needs and is
    a pass of its own (see ``SCORES``); the chosen rows are copied. ``fixed`` tokens, e.g. the class token or the text
    of a prompt, always stay; ``prunable`` is the share of the others that may go. Of a language model it acts on the
    prompt: the caches of later layers are shorter, and decoding reads less of them.

    Dense prediction, and decoders that read an encoder, need all tokens: ``restore`` writes those that went on back
    among the others behind the last layer.

    Left out: images of different numbers of tokens, which a batch would pad.

    References
    ----------
    .. [1] Y. Rao et al., "DynamicViT", arXiv 2106.02034. [2] Y. Liang et al., "EViT", arXiv 2202.07800.
    .. [3] L. Chen et al., "FastV", arXiv 2403.06764.
    """

    keep: float = parameter(0.7, "share of the prunable tokens that stays at every cut", least=0.0, most=1.0)
    at: str = parameter("0.25+0.5+0.75", "where tokens go, as shares of the depth", unit="list")
    score: str = parameter("class-attention", "how tokens are ranked", choices=tuple(SCORES))
    fixed: int = parameter(1, "tokens that always stay", least=0, most=10**9)
    prunable: float = parameter(1.0, "share of the other tokens that may go", least=0.0, most=1.0)

    restore: int = parameter(0, "1 if all tokens are back behind the last layer", least=0, most=1)

    name = "token-pruning"
    reference = "arXiv 2106.02034"
    neutral = {"keep": 1.0}
    idempotent = False

    def requires(self, plan: Plan, context: Context) -> str | None:
        numbers_of(self.at, f"{self.name}: at", 0, 1)
        problems = [token_problem(p.graph, bool(self.restore)) for p in plan.phases if _reads(p)]
        return problems[0] if problems else "the job reads nothing; use a task with a prompt or an image"

    def apply(self, plan: Plan, context: Context) -> Plan:
        if self.keep >= 1:
            return plan
        prompt = prompt_of(plan.job, context.model)
        return plan.replace(phases=tuple(self._pruned(phase, prompt) for phase in plan.phases))

    def _pruned(self, phase: Phase, prompt: Number) -> Phase:
        if _reads(phase):
            return replace(phase, graph=self.reduced(phase.graph))
        return replace(phase, graph=self._read_less(phase.graph, prompt)) if _continues(phase) else phase

    def reduced(self, graph: OperatorGraph) -> OperatorGraph:
        """The graph of a pass over all tokens, with the cuts."""
        tokens = graph.tensors[carried(graph, token_regions(graph)[0])[0]].shape[1]
        schedule = [(layer, self._stays(tokens, cut)) for cut, layer in enumerate(self._cuts(graph), start=1)]
        return reduce_tokens(graph, schedule, SCORES[self.score], restored=bool(self.restore))

    def _read_less(self, graph: OperatorGraph, prompt: Number) -> OperatorGraph:
        """The graph of a decode step whose later layers hold fewer positions of the prompt."""
        cuts = self._cuts(graph)
        passed = [sum(layer >= cut for cut in cuts) for layer in range(token_layers(graph))]
        graph, by_region = split_layers(graph, passed)
        dropped = {name: prompt - self._kept(prompt, int(n)) for name, n in by_region.items() if n}
        return shortened(graph, dropped)

    def _cuts(self, graph: OperatorGraph) -> list[int]:
        layers = token_layers(graph)
        return sorted({min(round(p * layers), layers - 1) for p in numbers_of(self.at, f"{self.name}: at", 0, 1)})

    def _stays(self, tokens: Number, cut: int) -> Callable[[Number], Number]:
        def stays(present: Number) -> Number:
            return minimum(present, self._kept(tokens, cut))

        return stays

    def _kept(self, tokens: Number, cut: int) -> Number:
        """Tokens behind the ``cut``-th cut, of ``tokens`` in all."""
        free = maximum(tokens - self.fixed, 0)
        return whole_tokens(tokens - free * self.prunable * (1 - self.keep**cut))


def _reads(phase: Phase) -> bool:
    """Whether a phase sees many tokens at once: a prompt, an image."""
    return phase.stage in ("prefill", "forward", "denoise") and not phase.network


def _continues(phase: Phase) -> bool:
    return phase.stage == "decode" and not phase.network and bool(causal_sites(phase.graph))
