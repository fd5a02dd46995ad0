"""Scores of a model's hidden states."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.architectures import DecoderModel
from perfsim.graph import GraphBuilder, OperatorGraph, Role
from perfsim.ops import Elementwise, Linear
from perfsim.ops.factorize import SingularValues
from perfsim.quantities.dtypes import DTYPES
from perfsim.quantities.numbers import Number
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.workloads import Phase, Plan, Prefill

__all__ = ["HiddenStateScore"]


@dataclass(frozen=True, kw_only=True)
class HiddenStateScore(PlanRewrite):
    """Behind the prompts a score of the matrix of all hidden states (tokens × width) is computed in fp32.

    ``entropy``: singular values of the width × width covariance, which costs a product and a cubic factorization at
    ``slowdown`` times the vector unit's time. ``nuclear``: norms of the columns and the sum of the largest, quadratic.
    The forward pass is the same for both.

    References
    ----------
    .. [1] Y. Li et al., "Large Language Model Evaluation via Matrix Nuclear-Norm", arXiv 2410.10672. [2] L. Wei et al.,
       "Diff-eRank: A Novel Rank-Based Metric for Evaluating Large Language Models", arXiv 2401.17139.
    """

    method: str = parameter("none", "which score", choices=("none", "entropy", "nuclear"))
    slowdown: float = parameter(10.0, "time of a factorization over that at vector peak", least=1.0, most=1e4)

    name = "hidden-state-score"
    reference = "arXiv 2410.10672"
    idempotent = False
    neutral = {"method": "none"}

    def requires(self, plan: Plan, context: Context) -> str | None:
        if not isinstance(context.model, DecoderModel) or not isinstance(plan.job, Prefill):
            return "it scores the hidden states of a prompt; use a language model with task prefill"
        return None

    def apply(self, plan: Plan, context: Context) -> Plan:
        if self.method == "none":
            return plan
        assert isinstance(plan.job, Prefill)
        assert isinstance(context.model, DecoderModel)
        graph = self._graph(plan.job.batch, plan.job.prompt_tokens, context.model.hidden)
        return plan.replace(phases=(*plan.phases, Phase("score", graph, 1, 0, plan.job.batch)))

    def _graph(self, batch: Number, tokens: Number, width: int) -> OperatorGraph:
        b, fp32 = GraphBuilder(), DTYPES["fp32"]
        states = b.tensor("states", (batch, tokens, width), fp32, Role.INPUT)
        if self.method == "nuclear":
            b.add(Elementwise, "norms", (states,), function="combine")  # a square and an addition per entry
            return b.build()
        turned = b.tensor("states.turned", (1, width, batch * tokens), fp32, Role.INPUT)
        columns = b.tensor("states.columns", (batch * tokens, width), fp32, Role.INPUT)
        covariance = b.add(Linear, "covariance", (turned, columns))
        b.add(SingularValues, "values", (covariance,), slowdown=self.slowdown)
        return b.build()
