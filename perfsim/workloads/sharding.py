"""One device's share of a graph: weights and caches cut, collectives between the parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.edit import insert_after, map_tensors
from perfsim.ops import AllGather, AllReduce, Collective, CrossEntropy, Linear, ReduceScatter, SendReceive
from perfsim.quantities.numbers import ceil_div

__all__ = ["hand_over", "reduced", "shard"]


def shard(graph: OperatorGraph, tensor: int, whole_experts: bool, positions: bool = False) -> OperatorGraph:
    """The graph of one of ``tensor`` devices: weights and caches cut along their marked axis, collectives inserted.

    Key/value heads that are fewer than the devices are replicated. Partial sums pass through additions and are
    reduced once (Megatron's two all-reduces per layer; one in parallel blocks). positions: whether what lies between
    the sharded products is spread over the devices by position (sequence parallelism [1]): sums are scattered, and
    gathered before the next product, which moves as many bytes as an all-reduce.

    References
    ----------
    .. [1] V. Korthikanti et al., arXiv 2205.05198, section 4.2.
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
        inserts[name] = (
            _collective(ReduceScatter, op, "reduce_scatter", tensor, axis=1)
            if positions
            else _collective(AllReduce, op, "all_reduce", tensor)
        )
    has_loss = any(isinstance(op, CrossEntropy) for op in local.operators)  # which reads logits where they are
    for op in local.operators:
        head = isinstance(op, Linear) and not op.region and local.tensors[op.inputs[1]].shard == op.contracted
        if head and not has_loss:
            inserts[_behind_bias(local, op.outputs[0])] = _collective(AllGather, op, "all_gather", tensor)
    whole = insert_after(local, inserts)
    return _gathered(whole, tensor) if positions else whole


def _gathered(graph: OperatorGraph, tensor: int) -> OperatorGraph:
    """The graph with the positions gathered in front of every product whose outputs are spread over the devices."""
    inserts: dict[str, Callable[[str, str], Operator]] = {}
    for op in graph.operators:
        if any(op.partial_gradient(name, graph.tensors) for name in op.inputs):
            maker = graph.producer(op.inputs[0])
            if maker is not None:
                inserts[op.inputs[0]] = _collective(AllGather, op, "all_gather", tensor, axis=1)
    return insert_after(graph, inserts)


def reduced(graph: OperatorGraph, tensor: int) -> OperatorGraph:
    """The graph of one of ``tensor`` devices with its partial sums reduced, for graphs that are cut already."""
    if tensor == 1:
        return graph
    return insert_after(
        graph, {name: _collective(AllReduce, op, "all_reduce", tensor) for name, op in _partial_sums(graph).items()}
    )


def _collective(
    kind: type[Collective], op: Operator, label: str, group: int, **more: Any
) -> Callable[[str, str], Operator]:
    def make(source: str, output: str) -> Operator:
        return kind(f"{op.name}.{label}", (source,), (output,), op.region, group, **more)

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
        if isinstance(op, ReduceScatter):  # sums what its input leaves open
            partial.pop(op.inputs[0], None)
            continue
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


def hand_over(
    graph: OperatorGraph, stages: int, tensor: int, rounds: int = 1, scattered: bool = False
) -> OperatorGraph:
    """Insert the transfers between ``stages`` stages of ``tensor`` devices behind the last layer, if any."""
    last = next((op for op in reversed(graph.operators) if op.region and op.outputs), None)
    if last is None:
        return graph

    def make(source: str, output: str) -> Operator:
        return SendReceive(
            "pipeline.send_receive", (source,), (output,), "", stages, per_stage=tensor, rounds=rounds,
            scattered=scattered,
        )  # fmt: skip

    return insert_after(graph, {last.outputs[0]: make})
