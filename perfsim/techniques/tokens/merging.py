"""Tokens that are merged in every layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from perfsim.graph import OperatorGraph
from perfsim.quantities.numbers import Number, maximum
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.tokens.reduction import Scoring, reduce_tokens, token_layers, token_problem
from perfsim.workloads import Plan

__all__ = ["TokenMerging"]


@dataclass(frozen=True, kw_only=True)
class TokenMerging(PlanRewrite):
    """In front of every layer but the first ``merged`` pairs of similar tokens become one each, until half are left.

    Two halves of the tokens are matched by similarity over ``metric`` of the width (the mean of the heads' keys is
    1 / heads of it, all heads together 1), which is a product of (tokens/2)² pairs; the tokens that go are added to
    their partners. So n tokens become n − merged·l behind l layers. ``criteria`` similarities are computed, e.g. 1 for
    ToMe; scores of one token are free. Where attention maps enter the scores, fused attention has to be left out of the
    stack. ToMe merges between attention and perceptron, here tokens go in front of the next layer: half a layer later.

    References
    ----------
    .. [1] D. Bolya et al., "Token Merging", arXiv 2210.09461. [2] S. Lee et al., "Multi-criteria Token Fusion",
       arXiv 2403.10030.
    """

    merged: int = parameter(8, "tokens that go in front of every layer", least=0, most=10**6)
    metric: float = parameter(0.125, "width over which tokens are compared, over that of the stream", least=0.0, most=1)
    criteria: int = parameter(1, "similarities that are computed", least=0, most=64)
    fixed: int = parameter(1, "tokens that always stay", least=0, most=10**9)

    name = "token-merging"
    reference = "arXiv 2210.09461"
    neutral = {"merged": 0}
    idempotent = False

    def requires(self, plan: Plan, context: Context) -> str | None:
        problems = [token_problem(p.graph) for p in plan.phases if p.stage == "forward"]
        if not problems:
            return "it reads no image or text in one pass; token-pruning and prompt-compression shorten prompts"
        return problems[0]

    def apply(self, plan: Plan, context: Context) -> Plan:
        if self.merged == 0:
            return plan
        return plan.replace(
            phases=tuple(replace(p, graph=self._fewer(p.graph)) if p.stage == "forward" else p for p in plan.phases)
        )

    def _fewer(self, graph: OperatorGraph) -> OperatorGraph:
        alike = Scoring(pairs=self.criteria * self.metric, matched=True)
        rules: list[tuple[int, Callable[[Number], Number]]] = [
            (layer, self._stays) for layer in range(1, token_layers(graph))
        ]
        return reduce_tokens(graph, rules, alike, merged=True)

    def _stays(self, present: Number) -> Number:
        """At most half of the tokens find a partner."""
        return maximum(present - self.merged, present - (present - self.fixed) // 2)
