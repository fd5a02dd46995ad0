"""Several answers to one question: best of N, voting, search with a verifier."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import LanguageModel
from perfsim.quantities.numbers import ceil_div
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.workloads import Inference, Job, Phase, Plan, Prefill, decode_rounds

__all__ = ["ParallelSamples"]


@dataclass(frozen=True, kw_only=True)
class ParallelSamples(PlanRewrite):
    """``samples`` answers per question: the prompt is read once, all answers are decoded as one larger batch.

    A vote among them costs nothing here. A ``verifier`` (a reward model: any language model of the catalogue) reads
    every answer: at the end (``every=0``), or step by step after every so many tokens, as search with a process
    verifier does (then ``samples`` is beams × branches and refused branches are decoded like the others). Its prompt
    pass, its weights and its cache count; both stages of it count to the runtime and neither to ttft nor tpot.
    Throughput counts answers that are delivered: one per question. Memory holds the prompt's keys and values once per
    answer, an upper bound for stacks that share pages; each answer reads them on its own, as kernels without a shared
    prefix do.

    References
    ----------
    .. [1] X. Wang et al., "Self-Consistency", arXiv 2203.11171. [2] C. Snell et al., "Scaling LLM Test-Time Compute
       Optimally", arXiv 2408.03314. [3] Y. Wu et al., "Inference Scaling Laws" (REBASE), arXiv 2408.00724.
    """

    samples: int = parameter(1, "answers per question", least=1, most=10**6)
    verifier: str = parameter("", "catalogue name of the model that scores them; empty for a vote", unit="name")
    every: int = parameter(0, "tokens after which each answer is scored; 0 for once at its end", least=0, most=10**6)

    name = "parallel-samples"
    reference = "arXiv 2408.03314"
    idempotent = False
    neutral = {"samples": 1}
    turn = 0

    def requires(self, plan: Plan, context: Context) -> str | None:
        """A job that writes text, and a verifier that reads it."""
        if not isinstance(plan.job, Inference):
            return "it needs a prompt and an output; use Inference"
        if self.verifier and not isinstance(context.find_model(self.verifier), LanguageModel):
            return f"{self.verifier} is a {context.find_model(self.verifier).family} and reads no text"
        return None

    def prepare(self, job: Job, context: Context) -> Job:
        """Everything behind the prompt works on all answers."""
        return job.replace(batch=job.batch * self.samples)

    def apply(self, plan: Plan, context: Context) -> Plan:
        questions = plan.job.replace(batch=ceil_div(plan.job.batch, self.samples))
        own = next(p for p in questions.plan(context.model, context.stack).phases if p.name == "prefill")
        phases = [replace(own, share=p.share) if p.name == "prefill" else p for p in plan.phases]
        return plan.replace(phases=(*phases, *self._scoring(plan.job, questions, context)))

    def _scoring(self, job: Job, questions: Job, context: Context) -> list[Phase]:
        assert isinstance(job, Inference)
        if not self.verifier:
            return []
        verifier = context.find_model(self.verifier)
        assert isinstance(verifier, LanguageModel)
        asked: Inference | Prefill = Prefill(
            prompt_tokens=job.prompt_tokens + job.output_tokens, batch=job.batch, dtype=job.dtype
        )
        steps = None
        if self.every:
            asked = Prefill(prompt_tokens=job.prompt_tokens, batch=questions.batch, dtype=job.dtype)
            steps = decode_rounds(
                job, verifier, context.stack, name="verify/steps", passes=1 / self.every, tokens=self.every,
                network="verifier",
            )  # fmt: skip
        read = asked.plan(verifier, context.stack).phases[0]
        read = replace(read, name="verify/read", network="verifier")
        return [read] if steps is None else [read, steps]
