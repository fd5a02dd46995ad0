"""Long inputs that are read chunk by chunk, with a memory between the calls."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.architectures import DecoderModel
from perfsim.quantities.numbers import ceil_div
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.workloads import Inference, Phase, Plan

__all__ = ["ChunkedReading"]


@dataclass(frozen=True, kw_only=True)
class ChunkedReading(PlanRewrite):
    """The prompt is read in calls of ``chunk`` tokens; each writes an edit of ``edit`` tokens to a ``memory``.

    Every call reads the memory and its chunk, of which the first ``reuse`` share of the memory is cached from the call
    before, and decodes the edit; the answer is decoded behind the memory alone. So cost is linear in the chunks, and
    the cache is that of memory + chunk + edit. All calls count to the first token: the answer begins after them.

    References
    ----------
    .. [1] D. Jayalath et al., "Long-Range Tasks Using Short-Context LLMs" (PRISM), arXiv 2412.18914.
    """

    chunk: int = parameter(0, "tokens of the input per call; 0: all at once, as without it", least=0, most=10**9)
    memory: int = parameter(500, "tokens of the memory and the instructions in every call", least=1, most=10**9)
    edit: int = parameter(100, "tokens that a call writes", least=0, most=10**6)
    reuse: float = parameter(0.0, "share of the memory's tokens that is cached from the last call", least=0.0, most=1.0)

    name = "chunked-reading"
    reference = "arXiv 2412.18914"
    neutral = {"chunk": 0}
    idempotent = False
    turn = 1

    def requires(self, plan: Plan, context: Context) -> str | None:
        readable = isinstance(plan.job, Inference) and isinstance(context.model, DecoderModel)
        return None if readable else "it needs a decoder with a prompt and an output; use Inference"

    def apply(self, plan: Plan, context: Context) -> Plan:
        job, model, stack = plan.job, context.model, context.stack
        if not self.chunk or not isinstance(job, Inference) or not isinstance(model, DecoderModel):
            return plan
        calls = ceil_div(job.prompt_tokens, self.chunk)
        seen, new = self.memory + self.chunk, self.memory * (1 - self.reuse) + self.chunk
        batch = job.batch
        read = model.graph(job.step(stack, tokens=new, context=seen))
        phases = [Phase("prefill/chunks", read, calls, batch * new, batch)]
        if self.edit > 1:  # the pass over the chunk makes the first token
            write = model.graph(job.step(stack, tokens=1, context=seen + (self.edit + 1) / 2, decode=True))
            phases.append(Phase("prefill/edits", write, calls * (self.edit - 1), batch, batch, True))
        recalled = job.replace(prompt_tokens=self.memory).plan(model, stack)
        return plan.replace(phases=(*phases, *recalled.phases))
