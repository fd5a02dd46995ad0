"""Using another network for the same job: what a paper that brings a model does."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.workloads import Plan

__all__ = ["ReplaceModel"]


@dataclass(frozen=True, kw_only=True)
class ReplaceModel(PlanRewrite):
    """The same job done by another model of the catalogue; put it first, other techniques then act on that model.

    Quality is not predicted: that the other model is good enough is for the user to declare.
    """

    model: str = parameter("", "catalogue name of the model to use instead; empty keeps the model", unit="name")

    name = "replace-model"
    reference = "the catalogue entry of the other model"
    neutral = {"model": ""}

    def requires(self, plan: Plan, context: Context) -> str | None:
        """The other model must do the same job; its own checks say more."""
        if not self.model:
            return None
        other = context.find_model(self.model)
        if other.usual_task != context.model.usual_task:
            return f"{other.name} is a {other.family} and does another job"
        return None

    def apply(self, plan: Plan, context: Context) -> Plan:
        if not self.model:
            return plan
        other = context.find_model(self.model)
        phases = plan.job.plan(other, context.stack).phases
        return plan.replace(phases=phases)
