"""Shorter or longer reasoning: what the job writes changes its length, for all questions or for some."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.workloads import Inference, Job, Phase, Plan

__all__ = ["ReasoningLength", "answered", "weighted"]


@dataclass(frozen=True, kw_only=True)
class ReasoningLength(PlanRewrite):
    """The job's output, trace and answer together, becomes ``length`` times as long; some questions get no trace.

    ``share`` of the questions are thought about, the others answered directly in ``answer`` tokens. Expected values
    are exact: two decodes weighted with their shares; memory holds the longer one. tpot and throughput stay per token
    of the job as it was asked, so that they compare the same answers. A batch is taken to hold questions of one kind.

    References
    ----------
    .. [1] J. Zhang et al., "AdaptThink", arXiv 2505.13417. [2] Y. Sui et al., "Stop Overthinking", arXiv 2503.16419.
    """

    length: float = parameter(1.0, "tokens written where there is thought, over those of the job", least=0.0, most=1e4)
    share: float = parameter(1.0, "questions that are thought about, over all", least=0.0, most=1.0)
    answer: int = parameter(100, "tokens of an answer without thought", least=1, most=10**6)

    name = "reasoning-length"
    reference = "arXiv 2503.16419"
    idempotent = False
    neutral = {"length": 1.0, "share": 1.0}
    turn = 0

    def requires(self, plan: Plan, context: Context) -> str | None:
        """A job that writes text."""
        return None if isinstance(plan.job, Inference) else "it needs a prompt and an output; use Inference"

    def prepare(self, job: Job, context: Context) -> Job:
        """The longer answers are the ones that other techniques see."""
        if not isinstance(job, Inference) or self.length == 1:
            return job
        return job.replace(output_tokens=max(1, round(self.length * job.output_tokens)))

    def apply(self, plan: Plan, context: Context) -> Plan:
        job = plan.job
        if self.share == 1 or not isinstance(job, Inference):
            return plan
        direct = job.replace(output_tokens=self.answer).plan(context.model, context.stack).phases
        return plan.replace(phases=(*weighted(plan, self.share), *answered(direct, 1 - self.share)))


def weighted(plan: Plan, share: float) -> tuple[Phase, ...]:
    """The phases of a plan, its decode with probability ``share``."""
    return tuple(replace(p, share=p.share * share) if p.name == "decode" else p for p in plan.phases)


def answered(phases: Iterable[Phase], share: float) -> tuple[Phase, ...]:
    """The decode among ``phases`` as ``decode/direct``, with probability ``share``."""
    return tuple(replace(p, name="decode/direct", share=p.share * share) for p in phases if p.name == "decode")
