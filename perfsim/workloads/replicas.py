"""What replicas of a network exchange in a training step, and what each of them stores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.ops import AllGather, AllReduce, Collective, ReduceScatter
from perfsim.quantities.numbers import Number, ceil_div
from perfsim.workloads.plan import Layout

__all__ = ["REPLICATION", "Replicated", "ShardedGradients", "ShardedStates", "ShardedWeights", "parts_of"]


def parts_of(graph: OperatorGraph, role: Role) -> dict[str, list[Tensor]]:
    """Stored tensors of a role by region, in the order in which the regions run."""
    found: dict[str, list[Tensor]] = {}
    for tensor in graph.of_role(role):
        found.setdefault(tensor.region, []).append(tensor)
    order = dict.fromkeys(op.region for op in graph.operators)
    return {region: found[region] for region in (*order, *(r for r in found if r not in order)) if region in found}


@dataclass(frozen=True)
class Replicated:
    """Every replica holds everything; gradients are summed beside the last backward pass of a step.

    References
    ----------
    .. [1] S. Li et al., "PyTorch Distributed", arXiv 2006.15704: buckets of gradients, reduced while others are made.
    """

    layout: Layout

    @property
    def stride(self) -> int:
        """Every how many devices the same part of another replica comes."""
        return self.layout.tensor * self.layout.pipeline

    @property
    def shards(self) -> int:
        """Over how many devices the state of the optimizer is spread."""
        return 1

    def forward(self, graph: OperatorGraph) -> OperatorGraph:
        """A pass that reads the weights, with what has to be fetched for it."""
        return graph

    def backward(self, graph: OperatorGraph) -> OperatorGraph:
        """A backward pass whose gradients stay on the device."""
        return self.forward(graph)

    def last(self, graph: OperatorGraph) -> OperatorGraph:
        """The last backward pass of a step."""
        return self._summed(self.backward(graph), AllReduce)

    def update(self, graph: OperatorGraph) -> OperatorGraph:
        """The update of the weights, and what tells the other replicas."""
        return graph

    def _summed(self, graph: OperatorGraph, kind: type[Collective]) -> OperatorGraph:
        """The backward pass with one collective per part over its gradients."""
        buckets = {
            region: (sum(t.elements for t in tensors), tensors[0])
            for region, tensors in parts_of(graph, Role.GRADIENT).items()
        }
        return self._exchange(graph, kind, "gradients", buckets)

    def _exchange(
        self, graph: OperatorGraph, kind: type[Collective], what: str, buckets: Mapping[str, tuple[Number, Tensor]]
    ) -> OperatorGraph:
        """The graph with a collective per region over as many elements as stated, in the format of a tensor."""
        operators, tensors = list[Operator](), dict(graph.tensors)
        for region, (size, like) in buckets.items():
            prefix = f"{region}." if region else ""
            name = f"{prefix}{what}.{kind.kind.replace('-', '_')}"
            op = kind(
                name, (f"{prefix}{what}",), (f"{name}.out",), region, self.layout.data, self.stride, asynchronous=True
            )
            source = Tensor(f"{prefix}{what}", (size,), like.dtype, Role.INDEX, region)
            tensors[source.name] = source
            (shape,) = op.output_shapes(tensors)
            tensors[op.outputs[0]] = source.replace(name=op.outputs[0], shape=shape)
            operators.append(op)
        return replace(graph, operators=_placed(graph.operators, operators), tensors=tensors)


def _placed(operators: tuple[Operator, ...], added: Iterable[Operator]) -> tuple[Operator, ...]:
    """Operators with each of ``added`` behind the last one of its region."""
    result = list(operators)
    for op in added:
        place = max((i for i, other in enumerate(result) if other.region == op.region), default=len(result) - 1)
        result.insert(place + 1, op)
    return tuple(result)


@dataclass(frozen=True)
class ShardedStates(Replicated):
    """ZeRO stage 1: each replica updates its share of the weights; sums are scattered, new weights gathered.

    References
    ----------
    .. [1] S. Rajbhandari et al., "ZeRO", arXiv 1910.02054, sections 5 and 7.
    """

    @property
    def shards(self) -> int:
        return self.layout.data

    def last(self, graph: OperatorGraph) -> OperatorGraph:
        return self._summed(self.backward(graph), ReduceScatter)

    def update(self, graph: OperatorGraph) -> OperatorGraph:
        updated = (t for t in graph.tensors.values() if t.name.removeprefix(f"{t.region}.") == "weights")
        buckets = {t.region: (t.elements, t) for t in updated}
        return self._exchange(graph, AllGather, "updated", buckets)


@dataclass(frozen=True)
class ShardedGradients(ShardedStates):
    """ZeRO stage 2: the gradients of a part are scattered as soon as they are made, in every pass."""

    def backward(self, graph: OperatorGraph) -> OperatorGraph:
        summed = self._summed(self.forward(graph), ReduceScatter)
        tensors = {name: self._shard(t) for name, t in summed.tensors.items()}
        return replace(summed, tensors=tensors)

    def last(self, graph: OperatorGraph) -> OperatorGraph:
        return self.backward(graph)

    def _shard(self, tensor: Tensor) -> Tensor:
        """Gradients are there for one part at a time; what stays is a share of their sum."""
        if tensor.role is Role.GRADIENT:
            return tensor.replace(role=Role.GATHERED)
        scattered = tensor.name.endswith("gradients.reduce_scatter.out")
        return tensor.replace(role=Role.GRADIENT) if scattered else tensor


@dataclass(frozen=True)
class ShardedWeights(ShardedGradients):
    """ZeRO stage 3, or fully sharded data parallelism: a part's weights are gathered for every pass over it.

    References
    ----------
    .. [1] Y. Zhao et al., "PyTorch FSDP", arXiv 2304.11277.
    """

    def forward(self, graph: OperatorGraph) -> OperatorGraph:
        stored = parts_of(graph, Role.WEIGHT)
        buckets = {
            region: (ceil_div(sum(t.elements for t in tensors), self.shards), tensors[0])
            for region, tensors in stored.items()
        }
        gathered = self._exchange(graph, AllGather, "weights", buckets)
        tensors = {
            name: t.replace(role=Role.GATHERED) if t.role is Role.WEIGHT else t for name, t in gathered.tensors.items()
        }
        shards = {f"{region}.weights" if region else "weights" for region in buckets}
        tensors |= {name: tensors[name].replace(role=Role.WEIGHT) for name in shards}
        return replace(gathered, tensors=tensors)

    def update(self, graph: OperatorGraph) -> OperatorGraph:
        return graph


REPLICATION: Mapping[int, type[Replicated]] = MappingProxyType(
    {0: Replicated, 1: ShardedStates, 2: ShardedGradients, 3: ShardedWeights}
)
"""Ways to spread what replicas store, by the stage of ZeRO."""
