"""Replicas that share out what each of them would store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perfsim.techniques.base import Context, parameter
from perfsim.techniques.training.changed import TrainingChange
from perfsim.workloads import Plan, Training

__all__ = ["Zero"]


@dataclass(frozen=True, kw_only=True)
class Zero(TrainingChange):
    """Data-parallel replicas spread the state of the optimizer (stage 1), gradients (2) and weights (3).

    Stage 1 scatters the sums of the gradients and gathers new weights: the bytes of an all-reduce. Stage 2 scatters in
    every pass, so that more micro-batches mean more traffic between replicas. Stage 3 gathers the weights of a layer
    before each pass over it, forward, recomputation and backward; two layers' weights lie on the device meanwhile.
    Transfers run beside kernels as far as the stack allows it (``stack.communication_overlap``).

    References
    ----------
    .. [1] S. Rajbhandari et al., "ZeRO", arXiv 1910.02054. [2] Y. Zhao et al., "PyTorch FSDP", arXiv 2304.11277.
    """

    stage: int = parameter(1, "what is spread: 1 optimizer, 2 gradients too, 3 weights too", least=0, most=3)

    name = "zero"
    reference = "arXiv 1910.02054"
    elsewhere = "it stores no gradients and no optimizer"
    neutral = {"stage": 0}

    def requires(self, plan: Plan, context: Context) -> str | None:
        """A job that trains, on replicas."""
        reason = super().requires(plan, context)
        if reason is not None or not isinstance(plan.job, Training):
            return reason
        return None if plan.job.data > 1 or self.stage == 0 else "there is one replica; use parallel:data=N"

    def changes(self) -> Mapping[str, Any]:
        return {"zero": self.stage}
