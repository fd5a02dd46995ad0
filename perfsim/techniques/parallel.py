"""Spreading a model over devices: tensor, pipeline, expert and data parallelism."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.architectures import DecoderModel, MixtureOfExperts
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.workloads import Job, Layout, Plan
from perfsim.workloads.sharding import hand_over, shard

__all__ = ["Parallel"]


@dataclass(frozen=True, kw_only=True)
class Parallel(PlanRewrite):
    """tensor × pipeline × data devices; with ``expert`` the experts are spread instead of cut.

    References
    ----------
    .. [1] M. Shoeybi et al., "Megatron-LM", arXiv 1909.08053: two all-reduces per layer.
    .. [2] D. Narayanan et al., arXiv 2104.04473: pipeline stages.
    .. [3] V. Korthikanti et al., arXiv 2205.05198: ``positions``, known as sequence parallelism.
    """

    tensor: int = parameter(1, "devices that share every layer", least=1, most=4096)
    pipeline: int = parameter(1, "stages of consecutive layers", least=1, most=4096)
    data: int = parameter(1, "replicas that share the batch", least=1, most=10**6)
    expert: int = parameter(1, "tensor-parallel devices that hold whole experts instead of slices", least=1, most=4096)
    positions: int = parameter(0, "1: share positions between products, too (training)", least=0, most=1)
    interleave: int = parameter(1, "parts of the network per pipeline stage, in training", least=1, most=1024)
    micro_batch: int = parameter(0, "samples per pass in training; 0: all, or 1 in a pipeline", least=0, most=10**6)

    name = "parallel"
    reference = "arXiv 1909.08053"
    idempotent = False
    in_training = True
    neutral = {"tensor": 1}

    def requires(self, plan: Plan, context: Context) -> str | None:
        """Heads, layers and experts must be divisible."""
        if plan.layout != Layout():
            return "the plan is spread over devices already; state parallel once"
        model = context.model
        if not isinstance(model, DecoderModel):
            return (
                f"a {model.family} can only be replicated; use data={self.tensor * self.pipeline * self.data}"
                if self.tensor * self.pipeline * self.expert > 1
                else None
            )
        reasons = (self._passes(plan, model), self._heads(model), self._experts(model))
        return next(filter(None, reasons), None)

    def _passes(self, plan: Plan, model: DecoderModel) -> str | None:
        """Why the stages cannot be made, or batches and positions not be cut."""
        trains = plan.job.optimizer_steps is not None
        if self.pipeline > model.layers:
            return f"{model.layers} layers cannot make pipeline={self.pipeline} stages"
        if self.interleave > 1 and (self.pipeline == 1 or not trains):
            return "parts per stage are for pipelines in training; use interleave=1"
        if self.pipeline * self.interleave > model.layers:
            return f"{model.layers} layers cannot make {self.interleave} parts of each of {self.pipeline} stages"
        if self.positions and not trains:
            return "inference keeps all positions on every device; leave out positions=1"
        batch = plan.job.batch
        if self.pipeline > 1 and not trains and isinstance(batch, int) and 0 < self.micro_batch < batch:
            return (
                f"inference passes whole batches through the stages of a pipeline, {batch} sequences here; "
                f"leave out micro_batch={self.micro_batch}"
            )
        return None

    def _heads(self, model: DecoderModel) -> str | None:
        """Why the layers cannot be cut."""
        for group in model.groups:
            heads = self.tensor if group.attention is None else group.attention.heads
            if heads == 1 and group.mixer != "attention" and self.tensor > 1:
                return f"the channels of its {group.mixer} mix in every projection; use data={self.tensor} instead"
            if heads % self.tensor:
                return f"{heads} attention heads cannot be split over tensor={self.tensor}; use a divisor of {heads}"
        return None

    def _experts(self, model: DecoderModel) -> str | None:
        """Why the experts cannot be spread."""
        if self.expert == 1:
            return None
        counts = [group.mlp.experts for group in model.groups if isinstance(group.mlp, MixtureOfExperts)]
        uneven = next((count for count in counts if count % self.expert), None)
        if uneven is not None:
            return f"{uneven} experts cannot be spread over expert={self.expert}"
        if not counts:
            return "it has no experts to spread; use expert=1"
        if self.expert != self.tensor:
            return (
                f"expert={self.expert} differs from tensor={self.tensor}; experts spread over tensor-parallel devices"
            )
        return None

    def prepare(self, job: Job, context: Context) -> Job:
        """Each replica gets its share of the batch, rounded up."""
        return job.spread(
            data=self.data, pipeline=self.pipeline, micro_batch=self.micro_batch, interleave=self.interleave
        )  # fmt: skip

    def apply(self, plan: Plan, context: Context) -> Plan:
        result = plan.map_graphs(lambda graph: shard(graph, self.tensor, self.expert > 1, bool(self.positions)))
        if self.pipeline > 1:
            trains = plan.job.optimizer_steps is not None
            result = result.map_graphs(
                lambda graph: hand_over(graph, self.pipeline, self.tensor, self.interleave, trains)
            )
        return result.replace(layout=Layout(self.tensor, self.pipeline, self.data, self.expert))
