"""Plans: what a job makes the devices do, as phases over operator graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from perfsim.graph import OperatorGraph
from perfsim.quantities.numbers import Number

if TYPE_CHECKING:
    from perfsim.workloads.job import Job

__all__ = ["Layout", "Phase", "Plan"]


@dataclass(frozen=True)
class Layout:
    """How a model is spread over devices: the product is the number of devices.

    tensor: devices that share every layer; pipeline: stages of consecutive layers; data: replicas;
    expert: devices that share the experts (among the tensor-parallel ones).
    """

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    expert: int = 1

    @property
    def devices(self) -> int:
        """Devices used."""
        return self.tensor * self.pipeline * self.data


@dataclass(frozen=True, eq=False)
class Phase:
    """``steps`` passes over one graph. Shapes may be arrays whose last axis runs over the steps.

    name: ``stage`` or ``stage/part``, e.g. ``decode`` or ``decode/draft``; tokens: new positions per pass, over all
    sequences; sequences: how many; repeated: whether passes follow each other, so that a cache may still hold what the
    last one touched; share: expected executions of the whole phase in one job [1], e.g. the probability that a cascade
    reaches it; network: whose weights and caches it uses, "" for the model asked for: phases of one network share
    them, those of different networks lie side by side; delay: declared time per pass that no work on the device
    explains, e.g. an index lookup or a radio [s]; stages: of a pipeline, which work on different passes at a time:
    each does its part of the graph, the slowest sets the pace; fill: passes for which a stage waits while the pipeline
    fills and drains; interleave: parts of the network that each stage holds.
    """

    name: str
    graph: OperatorGraph
    steps: Number = 1
    tokens: Number = 1
    sequences: Number = 1
    repeated: bool = False
    share: Number = 1
    network: str = ""
    delay: Number = 0.0
    stages: int = 1
    fill: Number = 0
    interleave: int = 1

    @property
    def stage(self) -> str:
        """The name up to the slash: ``prefill`` phases make the first token, ``decode`` phases the rest."""
        return self.name.partition("/")[0]


@dataclass(frozen=True, eq=False)
class Plan:
    """Phases in order, and how they are spread over devices; changed_by: text forms of what changed the job or them."""

    job: Job
    phases: tuple[Phase, ...]
    layout: Layout = Layout()
    changed_by: frozenset[str] = frozenset()

    def map_graphs(self, change: Callable[[OperatorGraph], OperatorGraph]) -> Plan:
        """The plan with ``change`` applied to the graph of every phase."""
        return replace(self, phases=tuple(replace(p, graph=change(p.graph)) for p in self.phases))

    def replace(self, **changes: Any) -> Plan:
        """A copy with some fields changed."""
        return replace(self, **changes)
