"""Prompts that a small model shortens first."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.techniques.attention.sites import prompt_of
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.tokens.prompts import has_prompt, with_prompt
from perfsim.techniques.tokens.reduction import whole_tokens
from perfsim.workloads import Decode, Job, Plan, Prefill

__all__ = ["PromptCompression"]


@dataclass(frozen=True, kw_only=True)
class PromptCompression(PlanRewrite):
    """``keep`` of the prompt's tokens are read by the model; a ``compressor`` reads all of them first to choose.

    The compressor's pass counts to the first token, and its weights lie beside those of the model. Without one the
    prompt is just shorter, e.g. because it is a summary that exists already. Prefill shrinks with the prompt, the cache
    and its reads alike.

    References
    ----------
    .. [1] H. Jiang et al., "LLMLingua", arXiv 2310.05736.
    """

    keep: float = parameter(0.25, "share of the prompt that the model reads", least=0.0001, most=1.0)
    compressor: str = parameter("", "catalogue name of the model that chooses; empty for none", unit="name")

    name = "prompt-compression"
    reference = "arXiv 2310.05736"
    neutral = {"keep": 1.0}
    idempotent = False
    turn = 1

    def requires(self, plan: Plan, context: Context) -> str | None:
        return None if has_prompt(plan.job) else "the job has no prompt"

    def prepare(self, job: Job, context: Context) -> Job:
        return job if self.keep >= 1 else with_prompt(job, lambda tokens: whole_tokens(tokens * self.keep))

    def apply(self, plan: Plan, context: Context) -> Plan:
        if not self.compressor or isinstance(plan.job, Decode):
            return plan
        chooser = context.find_model(self.compressor)
        whole = whole_tokens(prompt_of(plan.job, context.model) / self.keep)
        reading = Prefill(prompt_tokens=whole, batch=plan.job.batch, dtype=plan.job.dtype)
        (phase,) = reading.plan(chooser, context.stack).phases
        return plan.replace(phases=(replace(phase, name="prefill/compressor", network="compressor"), *plan.phases))
