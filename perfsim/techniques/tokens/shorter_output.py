"""Answers that say the same in fewer tokens."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.quantities.numbers import maximum
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.tokens.reduction import whole_tokens
from perfsim.workloads import Inference, Job, Plan

__all__ = ["ShorterOutput"]


@dataclass(frozen=True, kw_only=True)
class ShorterOutput(PlanRewrite):
    """``keep`` of the job's output tokens are written, e.g. by a model that was trained to reason briefly.

    Decode steps, the longest cache and the cost of an answer shrink; a step takes what it took. The job's output tokens
    are those of the longer answer, so tpot and throughput are per token of *that* answer. Training is not counted.

    References
    ----------
    .. [1] D. Arora, A. Zanette, "Training Language Models to Reason Efficiently", arXiv 2502.04463.
    """

    keep: float = parameter(1.0, "share of the output tokens that is written", least=0.0001, most=1.0)

    name = "shorter-output"
    reference = "arXiv 2502.04463"
    neutral = {"keep": 1.0}
    idempotent = False
    turn = 0

    def requires(self, plan: Plan, context: Context) -> str | None:
        return None if isinstance(plan.job, Inference) else "the job writes no answer; use inference"

    def prepare(self, job: Job, context: Context) -> Job:
        if not isinstance(job, Inference) or self.keep >= 1:
            return job
        return job.replace(output_tokens=maximum(whole_tokens(job.output_tokens * self.keep), 1))

    def apply(self, plan: Plan, context: Context) -> Plan:
        return plan
