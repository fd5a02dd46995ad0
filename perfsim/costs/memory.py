"""Memory per device: what is stored, and the peak of what lives at the same time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from perfsim.costs.fullest import alive_activations, fullest_layer
from perfsim.costs.phase import PhaseCost
from perfsim.costs.scratchpad import Misfit
from perfsim.devices import Device, Stack
from perfsim.graph import OperatorGraph, Role, Tensor
from perfsim.quantities.numbers import Number, ceil_div, largest, maximum, minimum
from perfsim.workloads import Phase

__all__ = [
    "Memory", "Store", "activation_peak", "gathered", "memory_of", "saved_activations", "store_of",
]  # fmt: skip


@dataclass(frozen=True)
class Store:
    """A memory beside the main one: its name and capacity [byte], None if unknown."""

    name: str
    capacity: Number | None


def store_of(device: Device, stack: Stack) -> Store | None:
    """The memory of its own in which ``stack`` keeps the weights on ``device``; None if that is the main memory."""
    return Store(stack.weights_in, device.get(f"memory.{stack.weights_in}.capacity")) if stack.weights_in else None


@dataclass(frozen=True, eq=False)
class Memory:
    """Bytes on the fullest device [byte], and its capacity [byte], None if unknown.

    weights_in: the memory of their own that keeps the weights, None where they lie in the main memory; planned: what
    no level has room for, by the plan of a device without caches; None where there is no such plan; phases: what was
    costed, in which the fullest layer is found.
    """

    weights: Number
    kv_cache: Number
    activations: Number
    capacity: Number | None
    gradients: Number = 0
    optimizer_states: Number = 0
    workspace: Number = 0
    planned: tuple[Misfit, ...] | None = None
    weights_in: Store | None = None
    phases: tuple[PhaseCost, ...] = ()

    @property
    def total(self) -> Number:
        """All parts together [byte]."""
        parts = (self.weights, self.kv_cache, self.activations, self.gradients, self.optimizer_states, self.workspace)
        return sum(parts)

    @property
    def fits(self) -> bool | None:
        """Whether the parts fit into the capacity, or the plan into its levels; None where that is not known."""
        if self.planned is not None:
            return not self.planned
        verdicts = [None if there is None else bool(used <= there) for _, used, there in self.stores]
        return False if False in verdicts else None if None in verdicts else True

    @cached_property
    def misfits(self) -> tuple[Misfit, ...]:
        """What does not fit: by the plan, or the largest tensor of the fullest layer of memories that are too small."""
        if self.planned is not None:
            return self.planned
        full = [(name, used, there) for name, used, there in self.stores if there is not None and bool(used > there)]
        return tuple(
            Misfit(*self._most(name), name or "main memory", float(largest(used)), float(there))
            for name, used, there in full
        )

    def _most(self, name: str) -> tuple[str, str]:
        """Layer and tensor that take most of the largest part of the memory ``name``."""
        sizes: dict[str, Number] = {"weights": self.weights}
        if not name:
            others = ("kv_cache", "activations", "gradients", "optimizer_states", "workspace")
            sizes = {part: getattr(self, part) for part in (*others, *(() if self.weights_in else ("weights",)))}
        part = max(sizes, key=lambda one: float(largest(sizes[one])))
        return fullest_layer(self.phases, part)

    @property
    def stores(self) -> tuple[tuple[str, Number, Number | None], ...]:
        """Name, bytes in use and capacity [byte] of each memory; the main one first, without a name."""
        apart = self.weights_in
        if apart is None:
            return (("", self.total, self.capacity),)
        return ("", self.total - self.weights, self.capacity), (apart.name, self.weights, apart.capacity)


def memory_of(
    phases: tuple[PhaseCost, ...], capacity: Number | None, pipeline: int, weights_in: Store | None = None
) -> Memory:
    """Memory of a plan on its fullest device.

    Weights are stored once for all phases of a network; its cache counts at its longest; activations at the worst
    moment of any phase, and on top what training saves for the backward pass. With ``pipeline`` stages the fullest one
    holds the most layers and the larger of embedding and head.
    """
    return Memory(
        weights=_side_by_side(phases, Role.WEIGHT, pipeline),
        kv_cache=_side_by_side(phases, Role.KV_CACHE, pipeline),
        activations=maximum(*(largest(activation_peak(p)) for p in phases)) + saved_activations(phases),
        gradients=_side_by_side(phases, Role.GRADIENT, pipeline),
        optimizer_states=_side_by_side(phases, Role.OPTIMIZER, pipeline),
        workspace=maximum(*(gathered(p.graph) for p in phases)),
        capacity=capacity,
        planned=_misfits(phases),
        weights_in=weights_in,
        phases=phases,
    )


def _misfits(phases: tuple[PhaseCost, ...]) -> tuple[Misfit, ...] | None:
    planned = [phase.misfits for phase in phases if phase.misfits is not None]
    return tuple(misfit for found in planned for misfit in found) if planned else None


def _side_by_side(phases: tuple[PhaseCost, ...], role: Role, pipeline: int) -> Number:
    """Bytes of a role: the largest of the phases of each network, summed over the networks [byte]."""
    networks: dict[str, list[Number]] = {}
    for cost in phases:
        networks.setdefault(cost.phase.network, []).append(largest(_stored(cost.graph, role, pipeline)))
    return sum(maximum(*each) for each in networks.values())


def gathered(graph: OperatorGraph) -> Number:
    """Bytes of what lies on the device for the time of one part only [byte]: the largest part, and the next one that is
    fetched meanwhile.
    """
    parts: dict[str, Number] = {}
    for tensor in graph.of_role(Role.GATHERED):
        parts[tensor.region] = parts.get(tensor.region, 0) + tensor.nbytes
    return 0 if not parts else 2 * maximum(0, *parts.values())


def saved_activations(phases: tuple[PhaseCost, ...]) -> Number:
    """Bytes that training keeps from forward to backward passes, on the fullest device [byte].

    Stage i of p of a pipeline holds p − i micro-batches (one forward, one backward [1]), at most as many as there are:
    the first stage its layers p times and the embedding, the last its layers and the head once. What is computed again
    is there for one layer at a time. With v parts per stage the first one holds p + (p − 1) / v of them [2].

    References
    ----------
    .. [1] D. Narayanan et al., arXiv 2104.04473, section 2.2: PipeDream-flush.
    .. [2] V. Korthikanti et al., arXiv 2205.05198, section 4.2.3.
    """
    total: Number = 0
    for cost in phases:
        graph = cost.graph
        made = [t for t in graph.of_role(Role.SAVED) if graph.producer(t.name) is not None]
        if cost.phase.stage == "forward":
            total = total + _in_flight(graph, made, cost.phase)
        else:
            total = total + sum(t.nbytes for t in made)
    return total


def _in_flight(graph: OperatorGraph, saved: list[Tensor], phase: Phase) -> Number:
    stages = phase.stages
    inside = sum(t.nbytes * graph.count(t) for t in saved if t.region)
    if stages == 1:
        return inside + sum(t.nbytes for t in saved if not t.region)
    first = next((op for op in graph.operators if op.region), None)
    order = [op.name for op in graph.operators]
    start = order.index(first.name) if first is not None else 0
    ends: list[Number] = [0, 0]
    for tensor in saved:
        maker = graph.producer(tensor.name)
        if not tensor.region and maker is not None:
            place = int(order.index(maker.name) > start)
            ends[place] = ends[place] + tensor.nbytes
    layers: Number = sum(graph.regions.values())
    stage = inside * ceil_div(layers, stages) / layers
    flying = minimum(stages if phase.interleave == 1 else stages + (stages - 1) / phase.interleave, phase.steps)
    return maximum((stage + ends[0]) * flying, stage + ends[1])


def _stored(graph: OperatorGraph, role: Role, pipeline: int) -> Number:
    layers: dict[str, Number] = dict.fromkeys(graph.regions, 0)
    front: Number = 0
    back: Number = 0
    reached_layers = False
    front_names: set[str] = set()
    for op in graph.operators:
        reached_layers = reached_layers or bool(op.region)
        if not reached_layers:
            front_names.update(op.inputs)
    for tensor in graph.of_role(role):
        if tensor.region:
            layers[tensor.region] = layers[tensor.region] + tensor.nbytes
        elif tensor.name in front_names:
            front = front + tensor.nbytes
        else:
            back = back + tensor.nbytes
    if pipeline == 1:
        return front + back + sum(each * graph.regions[name] for name, each in layers.items())
    return maximum(front, back) + _fullest_stage([(layers[n], graph.regions[n]) for n in graph.regions], pipeline)


def _fullest_stage(groups: list[tuple[Number, Number]], pipeline: int) -> Number:
    """Bytes of the fullest run of ceil(layers / pipeline) consecutive layers; groups are (bytes, layers), in order."""
    each = [largest(nbytes) for nbytes, count in groups for _ in range(count)]
    size = ceil_div(len(each), pipeline)
    return maximum(*(sum(each[start : start + size]) for start in range(len(each) - size + 1)))


def activation_peak(phase: PhaseCost) -> Number:
    """Largest sum of activations that are alive at the same time [byte]."""
    alive = alive_activations(phase)
    return maximum(alive[0], *alive[1:]) if len(alive) > 1 else alive[0]
