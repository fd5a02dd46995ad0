"""What techniques of training have in common: they state a field of the job, and the plan follows from it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from perfsim.techniques.base import Context, PlanRewrite
from perfsim.workloads import Job, Plan, Training

__all__ = ["TrainingChange"]


class TrainingChange(PlanRewrite):
    """A technique that changes fields of a :class:`~perfsim.workloads.Training`; elsewhere it refuses."""

    in_training = True
    elsewhere: ClassVar[str] = ""
    """Why other jobs have no use for it."""

    @abstractmethod
    def changes(self) -> Mapping[str, Any]:
        """Fields of the job and their values."""

    def requires(self, plan: Plan, context: Context) -> str | None:
        """A job that trains."""
        return None if isinstance(plan.job, Training) else f"{self.elsewhere}; use Training"

    def prepare(self, job: Job, context: Context) -> Job:
        return job.replace(**self.changes()) if isinstance(job, Training) else job

    def apply(self, plan: Plan, context: Context) -> Plan:
        return plan
