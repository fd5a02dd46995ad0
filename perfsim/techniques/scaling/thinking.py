"""Thought before the answer: a trace that the user does not ask for, for all questions or for hard ones."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.scaling.reasoning_length import answered, weighted
from perfsim.workloads import Inference, Job, Plan

__all__ = ["Thinking", "expected_length"]


def expected_length(*, answer: float, thought: float, share: float) -> float:
    """Mean tokens written per question [1]: answer + share × thought."""
    return answer + share * thought


@dataclass(frozen=True, kw_only=True)
class Thinking(PlanRewrite):
    """``share`` of the questions get a trace of ``tokens`` tokens in front of their answer, the others none.

    The job's output tokens are the answer. The trace is decoded like it and stays in the cache while the answer is
    written, so that its cost grows faster than its length. tpot and throughput are per token of the *answer*: the user
    waits for the trace as well. Expected values are exact: two decodes weighted with their shares; memory holds the
    longer one. A batch is taken to hold questions of one kind.

    References
    ----------
    .. [1] J. Zhang et al., "AdaptThink", arXiv 2505.13417. [2] S. Tu et al., "Learning When to Think", arXiv
       2505.10832.
    """

    tokens: int = parameter(0, "tokens of a trace", least=0, most=10**6)
    share: float = parameter(1.0, "questions that get one, over all", least=0.0, most=1.0)

    name = "thinking"
    reference = "arXiv 2505.13417"
    idempotent = False
    neutral = {"tokens": 0}
    turn = 0

    def requires(self, plan: Plan, context: Context) -> str | None:
        """A job that writes text."""
        return None if isinstance(plan.job, Inference) else "it needs a prompt and an output; use Inference"

    def _thinks(self) -> bool:
        return bool(self.tokens and self.share)

    def prepare(self, job: Job, context: Context) -> Job:
        """The longer of the two decodes is the one that other techniques see."""
        if not isinstance(job, Inference) or not self._thinks():
            return job
        return job.replace(output_tokens=job.output_tokens + self.tokens)

    def apply(self, plan: Plan, context: Context) -> Plan:
        job = plan.job
        if not isinstance(job, Inference) or not self._thinks() or self.share == 1:
            return plan
        direct = job.replace(output_tokens=job.output_tokens - self.tokens).plan(context.model, context.stack).phases
        return plan.replace(phases=(*weighted(plan, self.share), *answered(direct, 1 - self.share)))
