"""Jobs with another prompt, and small networks beside the model."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from perfsim.graph import GraphBuilder, OperatorGraph, Role
from perfsim.ops import Linear
from perfsim.quantities.dtypes import DType
from perfsim.quantities.numbers import Number
from perfsim.workloads import Decode, Inference, Job, Prefill

__all__ = ["has_prompt", "projections", "with_prompt"]


def has_prompt(job: Job) -> bool:
    """Whether a job reads a prompt, or stands behind one."""
    return isinstance(job, Inference | Prefill | Decode)


def with_prompt(job: Job, change: Callable[[Number], Number]) -> Job:
    """The job with another number of prompt tokens; a decode step sees as many positions more or less."""
    if isinstance(job, Decode):
        return job.replace(context_length=change(job.context_length))
    return job.replace(prompt_tokens=change(job.prompt_tokens)) if isinstance(job, Inference | Prefill) else job


def projections(batch: Number, tokens: Number, widths: tuple[int, ...], dtype: DType, name: str) -> OperatorGraph:
    """Matrices one behind the other on features (batch, tokens, widths[0])."""
    b = GraphBuilder()
    x = b.tensor(f"{name}.features", (batch, tokens, widths[0]), dtype, Role.INPUT)
    for index, (inner, outer) in enumerate(pairwise(widths)):
        x = b.add(Linear, f"{name}.{index}", (x, b.weight(f"{name}.{index}.weight", (inner, outer), dtype)))
    return b.build()
