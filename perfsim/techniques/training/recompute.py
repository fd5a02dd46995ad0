"""Activations that are computed again instead of saved."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.workloads import Job, Plan, Training

__all__ = ["Recompute"]


@dataclass(frozen=True, kw_only=True)
class Recompute(PlanRewrite):
    """Forward work of layers is done again before their backward pass, so that less has to be saved.

    ``full`` saves what enters a layer and runs the whole layer again, ``selective`` saves all but what lies between
    queries, keys and the weighted values (nothing where a fused kernel keeps that on the chip). The work comes as a
    phase of its own, ``recompute``: it counts for the hardware's utilisation, not for the model's. One layer's
    activations are there at a time.

    References
    ----------
    .. [1] T. Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174. [2] V. Korthikanti et al.,
       arXiv 2205.05198.
    """

    mode: str = parameter("full", "what is computed again", choices=("none", "selective", "full"))

    name = "recompute"
    reference = "arXiv 1604.06174"
    in_training = True
    neutral = {"mode": "none"}

    def requires(self, plan: Plan, context: Context) -> str | None:
        """A job that trains."""
        return None if isinstance(plan.job, Training) else "nothing is saved for a backward pass; use Training"

    def prepare(self, job: Job, context: Context) -> Job:
        return job.replace(recompute=self.mode) if isinstance(job, Training) else job

    def apply(self, plan: Plan, context: Context) -> Plan:
        return plan
