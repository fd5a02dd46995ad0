"""Ranking by comparing passages two by two."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from perfsim.techniques.base import Context, OptionalRewrite, parameter
from perfsim.workloads import Plan

__all__ = ["VARIANTS", "RankingComparisons", "comparisons"]

VARIANTS = ("all", "sort", "slide")
"""All pairs; a heap sort; passes of a window of two from the last passage to the first."""


def comparisons(*, passages: int, variant: str, passes: int) -> float:
    """Comparisons that rank ``passages`` passages [1].

    all: N·(N − 1)/2; sort: N·log₂ N, never more than all; slide: N − 1 per pass, never more than all.

    References
    ----------
    .. [1] Z. Qin et al., "Large Language Models are Effective Text Rankers with Pairwise Ranking Prompting",
       arXiv 2306.17563, section 3.
    """
    every = passages * (passages - 1) / 2
    counts = {"all": every, "sort": passages * math.log2(passages), "slide": passes * (passages - 1)}
    return min(every, counts[variant])


@dataclass(frozen=True, kw_only=True)
class RankingComparisons(OptionalRewrite):
    """A job that compares all pairs of ``passages`` passages makes the comparisons of ``variant`` only.

    The plan is that of all pairs, however they are batched; a sort or sliding passes need fewer calls of the same
    length, each in both orders or in one, as before. A sort and a pass are sequences of calls that wait for each other,
    so that the batch can hold several queries but not several comparisons of one query: state the batch accordingly.

    References
    ----------
    .. [1] Z. Qin et al., arXiv 2306.17563.
    """

    passages: int = parameter(100, "passages that are ranked", least=2, most=10**6)
    variant: str = parameter("all", "which comparisons are made", choices=VARIANTS)
    passes: int = parameter(10, "passes of the sliding window", least=1, most=10**6)

    name = "ranking-comparisons"
    reference = "arXiv 2306.17563"
    idempotent = False
    neutral = {"variant": "all"}

    @property
    def share(self) -> float:
        """Comparisons over those of all pairs [1]."""
        made = comparisons(passages=self.passages, variant=self.variant, passes=self.passes)
        return made / comparisons(passages=self.passages, variant="all", passes=self.passes)

    def apply(self, plan: Plan, context: Context) -> Plan:
        return plan.replace(phases=tuple(replace(p, share=p.share * self.share) for p in plan.phases))
