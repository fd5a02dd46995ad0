"""Several images through one network."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.workloads import Job, Plan, SinglePass

__all__ = ["SharedBackbone"]


@dataclass(frozen=True, kw_only=True)
class SharedBackbone(PlanRewrite):
    """Each input is ``images`` images, e.g. of two dates, which all go through the same network.

    Weights are stored and read once; work and features grow in proportion. What compares the features afterwards is
    left out: a few operations per feature.

    References
    ----------
    .. [1] X. Ma et al., "Rethinking Remote Sensing Change Detection With A Mask View", arXiv 2406.15320.
       [2] J. Bromley et al., "Signature Verification using a Siamese Time Delay Neural Network", NIPS 1993.
    """

    images: int = parameter(1, "images per input", least=1, most=1000)

    name = "shared-backbone"
    reference = "arXiv 2406.15320"
    idempotent = False
    neutral = {"images": 1}
    turn = 0

    def requires(self, plan: Plan, context: Context) -> str | None:
        return None if isinstance(plan.job, SinglePass) else "it takes inputs in one pass; use task single-pass"

    def prepare(self, job: Job, context: Context) -> Job:
        return job.replace(batch=job.batch * self.images) if isinstance(job, SinglePass) else job

    def apply(self, plan: Plan, context: Context) -> Plan:
        return plan
