"""Scores of a cross-encoder for all items from those of a few."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import GraphBuilder, OperatorGraph, Role
from perfsim.ops import Linear
from perfsim.quantities.dtypes import DTYPES
from perfsim.techniques.base import Context, OptionalRewrite, parameter
from perfsim.workloads import Phase, Plan

__all__ = ["AnchorScores", "scored_pairs"]


def scored_pairs(*, items: int, anchors: int, candidates: int) -> int:
    """Pairs that the cross-encoder sees per query: anchors and re-ranked candidates, at most all items [1]."""
    return min(items, anchors + candidates)


@dataclass(frozen=True, kw_only=True)
class AnchorScores(OptionalRewrite):
    """A query is scored against ``anchors`` items; a matrix product approximates the scores of all ``items``.

    The plan is that of a cross-encoder over all items. It runs for the anchors and then for the best ``candidates``;
    between them the scores go through the pseudo-inverse (anchors × anchors) and the stored scores of past queries
    (anchors × items), in fp32. ``items`` 0 leaves the plan as it is. Left out: the scores of the past queries, which
    are computed once, and the choice of the best.

    References
    ----------
    .. [1] N. Yadav et al., "Efficient Nearest Neighbor Search for Cross-Encoder Models using Matrix Factorization",
       arXiv 2210.12579.
    """

    items: int = parameter(0, "items that a query is compared with; 0 for no approximation", least=0, most=10**10)
    anchors: int = parameter(200, "items that every query is scored against", least=1, most=10**6)
    candidates: int = parameter(100, "items whose exact score is computed at the end", least=0, most=10**6)

    name = "anchor-scores"
    reference = "arXiv 2210.12579"
    idempotent = False
    neutral = {"items": 0}

    def apply(self, plan: Plan, context: Context) -> Plan:
        pairs = scored_pairs(items=self.items, anchors=self.anchors, candidates=self.candidates)
        calls = tuple(replace(p, share=p.share * pairs / self.items) for p in plan.phases)
        stage = plan.phases[-1].stage
        return plan.replace(phases=(*calls, Phase(f"{stage}/scores", self._product(), 1, 0, 0, network="scores")))

    def _product(self) -> OperatorGraph:
        b, fp32 = GraphBuilder(), DTYPES["fp32"]
        x = b.tensor("scores.anchors", (1, self.anchors), fp32, Role.INPUT)
        inverse = b.weight("scores.inverse", (self.anchors, self.anchors), fp32)
        stored = b.weight("scores.past", (self.anchors, self.items), fp32)
        b.add(Linear, "scores.all", (b.add(Linear, "scores.solve", (x, inverse)), stored))
        return b.build()
