"""Learned virtual tokens in front of every prompt."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.tokens.prompts import has_prompt, with_prompt
from perfsim.workloads import Job, Plan

__all__ = ["SoftPrompt"]


@dataclass(frozen=True, kw_only=True)
class SoftPrompt(PlanRewrite):
    """``tokens`` learned vectors go in front of every prompt.

    They are read with it and stay in the cache: more prefill, more cache, more reads per step. Their vectors
    (tokens × width) are as small as the rows of the token table that they stand for, and are not counted.

    References
    ----------
    .. [1] Z. Xu et al., "Compress, Then Prompt", arXiv 2305.11186. [2] A. Razdaibiedina et al., "Residual Prompt
       Tuning", arXiv 2305.03937.
    """

    tokens: int = parameter(100, "virtual tokens in front of the prompt", least=0, most=10**6)

    name = "soft-prompt"
    reference = "arXiv 2305.11186"
    neutral = {"tokens": 0}
    idempotent = False
    turn = 1

    def requires(self, plan: Plan, context: Context) -> str | None:
        return None if has_prompt(plan.job) else "the job has no prompt"

    def prepare(self, job: Job, context: Context) -> Job:
        return with_prompt(job, lambda tokens: tokens + self.tokens)

    def apply(self, plan: Plan, context: Context) -> Plan:
        return plan
