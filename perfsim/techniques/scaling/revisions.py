"""One answer after the other: each revises the last, in a context that grows."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.speculation.phases import own_model, refusal
from perfsim.workloads import Inference, Job, Phase, Plan

__all__ = ["SequentialRevisions"]


@dataclass(frozen=True, kw_only=True)
class SequentialRevisions(PlanRewrite):
    """``rounds`` answers in a chain; ``feedback`` new tokens stand between two of them.

    The context holds all that came before, so attention and cache grow with the rounds. ``reuse=prefix`` keeps the
    cache between the calls and reads only the feedback; ``reuse=none`` reads prompt, answers and feedback anew at
    every call. The first answer is that of the job; tpot and throughput are per token of the last one. The feedback's
    own positions are left out of the contexts of later decode steps.

    References
    ----------
    .. [1] C. Snell et al., arXiv 2408.03314: sequential revisions. [2] V. Balachandran et al., "Inference-Time Scaling
       for Complex Tasks", arXiv 2504.00294: sequential calls with feedback.
    """

    rounds: int = parameter(1, "answers in the chain", least=1, most=10**4)
    feedback: int = parameter(0, "new tokens read before each further answer", least=0, most=10**6)
    reuse: str = parameter("prefix", "what stays in the cache between calls", choices=("prefix", "none"))

    name = "sequential-revisions"
    reference = "arXiv 2408.03314"
    idempotent = False
    neutral = {"rounds": 1}
    turn = 0

    def requires(self, plan: Plan, context: Context) -> str | None:
        """A job that writes text."""
        if not isinstance(plan.job, Inference):
            return "it needs a prompt and an output; use Inference"
        return refusal(plan, context)

    def prepare(self, job: Job, context: Context) -> Job:
        """All answers are one long decode."""
        return job.replace(output_tokens=job.output_tokens * self.rounds) if isinstance(job, Inference) else job

    def apply(self, plan: Plan, context: Context) -> Plan:
        job = plan.job
        if self.rounds == 1 or not isinstance(job, Inference):
            return plan
        answer = job.output_tokens / self.rounds
        held = [job.prompt_tokens + i * (answer + self.feedback) for i in range(1, self.rounds)]
        read = [self.feedback if self.reuse == "prefix" else context_length for context_length in held]
        phases = [
            self._reading(job, context, i, tokens, length)
            for i, (tokens, length) in enumerate(zip(read, held, strict=True), start=1)
            if self.feedback or self.reuse == "none"
        ]
        return plan.replace(phases=(*plan.phases, *phases))

    def _reading(self, job: Inference, context: Context, index: int, tokens: float, length: float) -> Phase:
        step = job.step(context.stack, tokens=tokens, context=length)
        return Phase(f"revise/read-{index}", own_model(context).graph(step), 1, job.batch * tokens, job.batch)
