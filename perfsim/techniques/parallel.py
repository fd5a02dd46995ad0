"""Spreading a model over devices: tensor, pipeline, expert and data parallelism."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from perfsim.architectures import DecoderModel, MixtureOfExperts
from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.edit import insert_after, map_tensors
from perfsim.ops import AllGather, AllReduce, Linear, SendReceive
from perfsim.quantities.numbers import ceil_div, is_array, is_symbolic
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.workloads import Job, Layout, Plan

__all__ = ["Parallel", "shard"]


@dataclass(frozen=True, kw_only=True)
class Parallel(PlanRewrite):
    """tensor × pipeline × data devices; with ``expert`` the experts are spread instead of cut.

    References
    ----------
    .. [1] M. Shoeybi et al., "Megatron-LM", arXiv 1909.08053: two all-reduces per layer.
    .. [2] D. Narayanan et al., arXiv 2104.04473: pipeline stages.
    """

    tensor: int = parameter(1, "devices that share every layer", least=1, most=4096)
    pipeline: int = parameter(1, "stages of consecutive layers", least=1, most=4096)
    data: int = parameter(1, "replicas that share the batch", least=1, most=10**6)
    expert: int = parameter(1, "tensor-parallel devices that hold whole experts instead of slices", least=1, most=4096)
    micro_batch: int = parameter(0, "samples per pipeline micro-batch; 0 is the whole batch", least=0, most=10**6)

    name = "parallel"
    reference = "arXiv 1909.08053"
    idempotent = False
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
        for group in model.groups:
            heads = self.tensor if group.attention is None else group.attention.heads
            if heads == 1 and group.mixer != "attention" and self.tensor > 1:
                return f"the channels of its {group.mixer} mix in every projection; use data={self.tensor} instead"
            if heads % self.tensor:
                return f"{heads} attention heads cannot be split over tensor={self.tensor}; use a divisor of {heads}"
            if self.expert > 1 and isinstance(group.mlp, MixtureOfExperts) and group.mlp.experts % self.expert:
                return f"{group.mlp.experts} experts cannot be spread over expert={self.expert}"
        if self.expert > 1 and not any(isinstance(g.mlp, MixtureOfExperts) for g in model.groups):
            return "it has no experts to spread; use expert=1"
        if self.expert not in (1, self.tensor):
            return (
                f"expert={self.expert} differs from tensor={self.tensor}; experts spread over tensor-parallel devices"
            )
        if self.pipeline > model.layers:
            return f"{model.layers} layers cannot make pipeline={self.pipeline} stages"
        return None

    def prepare(self, job: Job, context: Context) -> Job:
        """Each replica gets its share of the batch, rounded up."""
        if self.data == 1 or is_symbolic(job.batch) or is_array(job.batch):
            return job
        return job.replace(batch=ceil_div(job.batch, self.data))

    def apply(self, plan: Plan, context: Context) -> Plan:
        result = plan.map_graphs(lambda graph: shard(graph, self.tensor, self.expert > 1))
        if self.pipeline > 1:
            result = result.map_graphs(lambda graph: _hand_over(graph, self.pipeline, self.tensor))
        return result.replace(layout=Layout(self.tensor, self.pipeline, self.data, self.expert))


def shard(graph: OperatorGraph, tensor: int, whole_experts: bool) -> OperatorGraph:
    """The graph of one of ``tensor`` devices: weights and caches cut along their marked axis, collectives inserted.

    Key/value heads that are fewer than the devices are replicated. Partial sums pass through additions and are
    reduced once (Megatron's two all-reduces per layer; one in parallel blocks).
    """
    if tensor == 1:
        return graph

    def cut(t: Tensor) -> Tensor:
        axis = 0 if whole_experts and t.expert else t.shard
        if axis is None or t.role not in (Role.WEIGHT, Role.KV_CACHE):
            return t
        shape = tuple(ceil_div(n, tensor) if i == axis else n for i, n in enumerate(t.shape))
        return t.replace(shape=shape, shard=None if whole_experts and t.expert else t.shard)

    local = map_tensors(graph, cut)
    inserts: dict[str, Callable[[str, str], Operator]] = {}
    for name, op in _partial_sums(local).items():
        inserts[name] = _collective(AllReduce, op, "all_reduce", tensor)
    for op in local.operators:
        head = isinstance(op, Linear) and not op.region and local.tensors[op.inputs[1]].shard == op.contracted
        if head:
            inserts[_behind_bias(local, op.outputs[0])] = _collective(AllGather, op, "all_gather", tensor)
    return insert_after(local, inserts)


def _collective(
    kind: type[AllReduce | AllGather], op: Operator, label: str, group: int
) -> Callable[[str, str], Operator]:
    def make(source: str, output: str) -> Operator:
        return kind(f"{op.name}.{label}", (source,), (output,), op.region, group)

    return make


def _behind_bias(graph: OperatorGraph, tensor: str) -> str:
    """Output of the bias that follows the head, if any: the gather comes behind it."""
    consumers = graph.consumers(tensor)
    return consumers[0].outputs[0] if consumers and consumers[0].fusion_kind == "bias" else tensor


def _partial_sums(graph: OperatorGraph) -> dict[str, Operator]:
    """Tensors to be all-reduced, with the operator that makes them."""
    partial: dict[str, Operator] = {}
    reduce: dict[str, Operator] = {}
    for op in graph.operators:
        features = [name for name in op.inputs if graph.producer(name) is not None]
        pending = [name for name in features if name in partial]
        sole = all(len(graph.consumers(name)) == 1 for name in pending)
        if pending and sole and op.passes_partial_sums and _all_partial(op, features, partial):
            for name in pending:
                partial.pop(name)
            partial[op.outputs[0]] = op
        else:
            for name in pending:  # reduced here, hence whole for every later consumer
                reduce[name] = partial.pop(name)
        if op.partial_output(graph.tensors):
            partial[op.outputs[0]] = op
    leftover = {name: op for name, op in partial.items() if not graph.consumers(name)}
    return reduce | leftover


def _all_partial(op: Operator, features: list[str], partial: dict[str, Operator]) -> bool:
    """Whether the sum may wait: every addend is partial (routing weights of a combination are not addends)."""
    return features[0] in partial if op.kind == "combine" else all(name in partial for name in features)


def _hand_over(graph: OperatorGraph, stages: int, tensor: int) -> OperatorGraph:
    """Insert the transfers between ``stages`` stages of ``tensor`` devices behind the last layer, if any."""
    last = next((op for op in reversed(graph.operators) if op.region and op.outputs), None)
    if last is None:
        return graph

    def make(source: str, output: str) -> Operator:
        return SendReceive("pipeline.send_receive", (source,), (output,), "", stages, tensor)

    return insert_after(graph, {last.outputs[0]: make})
