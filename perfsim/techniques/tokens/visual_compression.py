"""Fewer tokens per image, video or sound in a prompt."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import VisionModel
from perfsim.quantities.numbers import maximum
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.tokens.prompts import has_prompt, with_prompt
from perfsim.workloads import Decode, Job, Plan, SinglePass

__all__ = ["VisualTokenCompression"]


@dataclass(frozen=True, kw_only=True)
class VisualTokenCompression(PlanRewrite):
    """Of the ``present`` tokens of an image, video or sound that are part of the job's prompt, ``tokens`` are left.

    They are pooled, chosen or rewritten in front of the language model, so that every layer, the cache and all later
    reads see fewer. Decode reads all weights in any case, which is why equal operations are not equal latency. The
    encoder's own pass is the same before and after and not part of it; what has to look in addition, e.g. to match
    ``images`` frames with the prompt, is ``matcher``, which counts to the first token and to memory.

    References
    ----------
    .. [1] K. Li et al., "Inference Optimal VLMs Need Only One Visual Token but Larger Models", arXiv 2411.03312.
    .. [2] K. Han et al., "Free Video-LLM", arXiv 2410.10441.
    """

    present: int = parameter(576, "tokens of the image, video or sound in the job's prompt", least=0, most=10**9)
    tokens: int = parameter(64, "tokens that are left of them", least=0, most=10**9)
    matcher: str = parameter("", "catalogue name of a network that looks in addition; empty for none", unit="name")
    images: int = parameter(1, "images or frames that the matcher looks at", least=0, most=10**6)

    name = "visual-token-compression"
    reference = "arXiv 2411.03312"
    neutral = {"present": 0, "tokens": 0}
    idempotent = False
    turn = 1

    def requires(self, plan: Plan, context: Context) -> str | None:
        if self.tokens > self.present:
            return f"tokens={self.tokens} are more than are present={self.present}"
        if self.matcher and not isinstance(context.find_model(self.matcher), VisionModel):
            return f"{self.matcher} sees no images; use a vision model"
        return None if has_prompt(plan.job) else "the job has no prompt"

    def prepare(self, job: Job, context: Context) -> Job:
        gone = max(self.present - self.tokens, 0)
        return with_prompt(job, lambda prompt: maximum(prompt - gone, 1))

    def apply(self, plan: Plan, context: Context) -> Plan:
        if not self.matcher or not self.images or isinstance(plan.job, Decode):
            return plan
        network, batch = context.find_model(self.matcher), plan.job.batch
        looking = SinglePass(batch=batch * self.images, dtype=plan.job.dtype).resolved(network, context.system.device)
        (phase,) = looking.plan(network, context.stack).phases
        seen = replace(phase, name="prefill/matcher", network="matcher", sequences=batch, repeated=False)
        return plan.replace(phases=(seen, *plan.phases))
