"""Frames of a video that become clips, with fewer tokens at every step."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import OperatorGraph
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.tokens.layers import numbers_of
from perfsim.techniques.tokens.reduction import SCORES, reduce_tokens, token_layers, token_problem, whole_tokens
from perfsim.workloads import Plan

__all__ = ["TemporalMerging"]


@dataclass(frozen=True, kw_only=True)
class TemporalMerging(PlanRewrite):
    """At some depths ``joined`` neighbouring frames become one clip, and ``keep`` of their tokens stay.

    The batch of the job is the frames. A join makes sequences that are joined · keep times as long and a joined-th of
    their number: products shrink with the tokens that are left, attention spans the clip. Similar tokens are matched
    between two halves of a clip and added up, as token-merging does.

    References
    ----------
    .. [1] L. Shen et al., "TempMe: Video Temporal Token Merging", arXiv 2409.01156.
    """

    joined: int = parameter(2, "frames or clips that become one clip", least=1, most=4096)
    keep: float = parameter(0.5, "share of a clip's tokens that stays", least=0.0001, most=1.0)
    at: str = parameter("0.25+0.5+0.75", "where frames are joined, as shares of the depth", unit="list")

    name = "temporal-merging"
    reference = "arXiv 2409.01156"
    neutral = {"joined": 1, "keep": 1.0}
    idempotent = False

    def requires(self, plan: Plan, context: Context) -> str | None:
        numbers_of(self.at, f"{self.name}: at", 0, 1)
        problems = [token_problem(p.graph) for p in plan.phases if p.stage == "forward"]
        return problems[0] if problems else "it reads no frames; use single-pass with a vision transformer"

    def apply(self, plan: Plan, context: Context) -> Plan:
        if self.joined == 1 and self.keep >= 1:
            return plan
        return plan.replace(
            phases=tuple(replace(p, graph=self._clips(p.graph)) if p.stage == "forward" else p for p in plan.phases)
        )

    def _clips(self, graph: OperatorGraph) -> OperatorGraph:
        layers = token_layers(graph)
        cuts = sorted({min(round(place * layers), layers - 1) for place in numbers_of(self.at, "at", 0, 1)})
        rules = [(layer, lambda present: whole_tokens(present * self.keep)) for layer in cuts]
        return reduce_tokens(graph, rules, SCORES["matching"], merged=True, joined=self.joined)
