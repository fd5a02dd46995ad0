"""Rows of a table that are predicted look at the labelled rows only."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph
from perfsim.ops import FusedAttention, Scores
from perfsim.quantities.numbers import minimum
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.workloads import Plan

__all__ = ["ContextRows"]


@dataclass(frozen=True, kw_only=True)
class ContextRows(GraphRewrite):
    """The first ``rows`` tokens of the input are labelled rows of a table; all rows attend to these and to no others.

    So one pass predicts all query rows without training. Attention grows with rows·(rows + queries) instead of
    (rows + queries)²; products per row stay. ``rows`` 0 leaves full attention.

    References
    ----------
    .. [1] N. Hollmann et al., "TabPFN", arXiv 2207.01848, section 3: attention of query rows to training rows only.
    """

    rows: int = parameter(0, "labelled rows in front of the query rows; 0 for full attention", least=0, most=10**7)

    name = "context-rows"
    reference = "arXiv 2207.01848"
    neutral = {"rows": 0}

    def requires(self, plan: Plan, context: Context) -> str | None:
        sites = [op for phase in plan.phases for op in phase.graph.operators if isinstance(op, FusedAttention)]
        split = any(isinstance(op, Scores) for phase in plan.phases for op in phase.graph.operators)
        if self.rows and (split or not sites or any(op.causal for op in sites)):
            return "it has no attention over all positions in one kernel; use a text encoder and a stack that fuses it"
        return None

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        operators = tuple(self._limited(op) for op in graph.operators)
        return replace(graph, operators=operators) if self.rows else graph

    def _limited(self, op: Operator) -> Operator:
        """Attention whose queries see the labelled rows."""
        return replace(op, context=minimum(op.context, self.rows)) if isinstance(op, FusedAttention) else op
