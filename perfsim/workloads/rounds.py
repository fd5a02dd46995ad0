"""Decoding that moves on by more (or less) than one token per pass."""

from __future__ import annotations

import math
from dataclasses import replace

from perfsim.architectures import LanguageModel, Step
from perfsim.devices import Stack
from perfsim.quantities.numbers import Number, is_symbolic, varies
from perfsim.workloads.inference import Decode, Inference
from perfsim.workloads.job import Job
from perfsim.workloads.plan import Phase

__all__ = ["decode_rounds"]


def decode_rounds(
    job: Job, model: LanguageModel, stack: Stack, *, name: str, passes: Number, tokens: Number = 1, network: str = "",
    all_logits: bool = False,
) -> Phase | None:  # fmt: skip
    """A decode phase of ``passes`` expected passes of ``model`` per output token; None if ``job`` decodes nothing.

    name: of the phase, e.g. ``decode/verify``; tokens: new positions per pass; network: as in a phase; all_logits:
    whether logits of all new positions are needed, as verification does. The passes are spread evenly over the contexts
    of the output: exact for everything that is linear in the context; the last one sees the longest.
    """
    steps = job.decode_steps
    if not isinstance(job, Inference | Decode) or (not is_symbolic(steps) and not varies(steps) and steps < 1):
        return None
    context, count = _contexts(job, model, steps, passes)
    source = job.prompt_tokens if isinstance(job, Inference) else job.context_length
    step: Step = job.step(stack, tokens=tokens, context=context, decode=tokens == 1, source=source)
    step = replace(step, all_logits=step.all_logits or all_logits)
    share = steps * passes / count
    new = job.batch * tokens
    return Phase(name, model.graph(step), count, new, job.batch, True, share, network)


def _contexts(job: Job, model: LanguageModel, steps: Number, passes: Number) -> tuple[Number, Number]:
    """Context of every pass, and how many passes are evaluated."""
    if isinstance(job, Decode):
        return job.context_length, 1
    assert isinstance(job, Inference)
    first = model.held(job.prompt_tokens) + 1
    if is_symbolic(steps) or varies(steps) or varies(first) or is_symbolic(first):
        return first + (steps - 1) / 2, steps * passes
    import numpy as np

    count = max(1, math.ceil(steps * passes))
    return (np.linspace(first, first + steps - 1, count) if count > 1 else first + (steps - 1) / 2), count
