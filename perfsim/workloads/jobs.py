"""Jobs by the name of their task, and the job that a few stated fields mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from perfsim.architectures import Model
from perfsim.errors import InputError, UnknownNameError
from perfsim.workloads.diffusion import Diffusion
from perfsim.workloads.inference import Decode, Inference, Prefill
from perfsim.workloads.job import Job
from perfsim.workloads.single_pass import SinglePass
from perfsim.workloads.training import Training

__all__ = ["JOBS", "job_of"]

JOBS: Mapping[str, type[Job]] = MappingProxyType(
    {kind.task: kind for kind in (Inference, Prefill, Decode, SinglePass, Diffusion, Training)}
)
"""Jobs by the name of their task."""


def job_of(model: Model, stated: Mapping[str, Any]) -> Job:
    """The job with the ``stated`` fields, among them ``task``; without it what one usually does with ``model``.

    Raises
    ------
    UnknownNameError, InputError
        if there is no such task or the job has no such field.
    """
    task = stated.get("task", model.usual_task)
    if task not in JOBS:
        raise UnknownNameError("task", str(task), JOBS)
    known = [item.name for item in fields(JOBS[task])]
    for name in stated:
        if name not in (*known, "task"):
            raise InputError(f"job: task {task} has no {name}; it has {', '.join(known)}")
    return JOBS[task](**{name: value for name, value in stated.items() if name != "task"})
