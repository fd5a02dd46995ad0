"""Cost of a phase: its kernels, and the host that feeds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from perfsim.costs.execution import kernel_costs
from perfsim.costs.kernel import KernelCost
from perfsim.costs.lowering import Kernel, kernels_of, place_on_chip
from perfsim.costs.pipeline import beside, slowest_stage
from perfsim.costs.scratchpad import Misfit
from perfsim.devices import Stack, System
from perfsim.graph import OperatorGraph
from perfsim.ops import Collective
from perfsim.quantities.numbers import Number, maximum, over_steps
from perfsim.workloads import Phase

__all__ = ["PhaseCost", "frame_runtime", "host_runtime", "phase_cost", "step_runtime"]


def host_runtime(
    *, layers: Number, collectives: Number, kernels: Number, per_step: Number, per_layer: Number,
    per_collective: Number, per_kernel: Number,
) -> Number:  # fmt: skip
    """Time in which the host prepares and launches one step [s].

    layers, collectives, kernels: in one step [1]; per_step: code outside the layers [s]; per_layer: framework code of
    one layer [s]; per_collective: extra code around one collective [s]; per_kernel: code that launches one kernel,
    operator by operator [s]. A captured graph has no such cost.

    Seen in the Megatron profiles of stanford-crfm/helm-efficiency@c31b8fc: time per decode step and layer is
    the same for widths from 1024 to 6144.
    """
    return per_step + layers * per_layer + collectives * per_collective + kernels * per_kernel


def step_runtime(*, device: Number, host: Number, frame: Number) -> Number:
    """Runtime of one step [s]: host and device work at the same time; what frames the step comes on top.

    device: sum over kernels [s]; host: preparing and launching them [s]; frame: host work during which the device
    waits [s], from :func:`frame_runtime`.
    """
    return frame + maximum(device, host)


def frame_runtime(*, tokens: Number, sequences: Number, per_token: Number, per_sequence: Number, gap: Number) -> Number:
    """Host work before and after a step, while the device waits [s].

    tokens: new positions of all sequences [1]; sequences [1]; per_token: text in and out, per position [s];
    per_sequence: scheduling, sampling and streaming one sequence [s]; gap: fixed part [s].

    The part per token is seen in the Megatron profiles of stanford-crfm/helm-efficiency@c31b8fc: the smallest model
    gains 9 µs per prompt token over its floor, and so do models of other depth and vocabulary before they leave
    theirs. The part per sequence is seen in the inter-token latencies
    of ml-energy/leaderboard@0cd52dab897c: vLLM steps grow by about 45 µs per sequence beyond their kernels.
    """
    return gap + tokens * per_token + sequences * per_sequence


@dataclass(frozen=True, eq=False)
class PhaseCost:
    """A phase on one device: totals are over all steps.

    kernels: (cost of one execution, executions per step); runtime [s]; overhead: part of it in which the
    device waits for the host [s]; step_runtimes: of each step, an array if they differ [s]; serving: host time per
    sequence between steps, part of the runtime [s]; phase: what was costed; misfits: what no level has room
    for, None without a plan for scratchpads; as_rated: costs the phase on the device without what-ifs, None where there
    are none; throttling: part of the runtime that a power limit adds [s]; bubble: part of it in which a device waits
    for other stages of a pipeline [s]. A share of the phase below 1 scales the totals, not the step runtimes.
    """

    phase: Phase
    graph: OperatorGraph
    kernels: tuple[tuple[KernelCost, Number], ...]
    lowered: tuple[Kernel, ...]
    runtime: Number
    overhead: Number
    step_runtimes: Number
    serving: Number = 0.0
    misfits: tuple[Misfit, ...] | None = None
    as_rated: Callable[[], PhaseCost] | None = None
    throttling: Number = 0.0
    bubble: Number = 0.0

    @property
    def name(self) -> str:
        """Name of the phase."""
        return self.phase.name

    @property
    def steps(self) -> Number:
        """Passes over the graph [1]."""
        return self.phase.steps

    @property
    def repeat(self) -> Number:
        """Expected passes in one job [1]: steps × share."""
        return self.steps * self.phase.share

    @cached_property
    def rated_runtime(self) -> Number:
        """Runtime on the device without what-ifs [s]; only what asks for energy pays for it."""
        return self.runtime if self.as_rated is None else self.as_rated().runtime

    def over_job(self, per_step: Number) -> Number:
        """Expected total over one job of a value per step."""
        return over_steps(per_step, self.steps) * self.phase.share

    def busy(self, per_step: Number) -> Number:
        """Time of one device over one job [s], of a time per pass over the whole graph: a stage does its part of it."""
        total = self.over_job(per_step)
        return total if self.phase.stages == 1 else total / self.phase.stages

    def total(self, field: str) -> Number:
        """Sum of a field of the kernels over all executions and steps."""
        return sum(self.over_job(getattr(cost, field) * count) for cost, count in self.kernels)

    @property
    def flops(self) -> Number:
        """Useful work of one device [FLOP]."""
        return self.total("flops")

    @property
    def traffic(self) -> Number:
        """Main-memory traffic of one device [byte]."""
        return self.total("traffic")

    @property
    def moved(self) -> Number:
        """Bytes over the borders of all kernels of one device, those that the cache serves included [byte]."""
        return self.total("moved")


def phase_cost(phase: Phase, system: System, stack: Stack, stages: int = 1) -> PhaseCost:
    """Cost of ``phase`` on one device of ``system`` under ``stack`` (resolved for that device).

    stages: pipeline stages that a pass goes through one after the other, each with its own host.

    Raises
    ------
    InputError
        if the device cannot do the work.
    """
    graph = place_on_chip(phase.graph) if stack.on_chip else phase.graph
    lowered = kernels_of(graph, stack)
    costs, misfits = kernel_costs(graph, lowered, system, stack, phase.repeated)
    counted = [(cost, graph.count(kernel.lead)) for cost, kernel in zip(costs, lowered, strict=True)]
    kernels = beside(counted, lowered, stack.parameter("communication_overlap"))
    device = sum(cost.runtime * count for cost, count in kernels)
    collectives = sum(graph.count(op) for op in graph.operators if isinstance(op, Collective))
    host = host_runtime(
        layers=sum(graph.regions.values()),
        collectives=collectives,
        kernels=sum(count for _, count in kernels),
        per_step=stack.parameter("host_per_step") * stages,
        per_layer=stack.parameter("host_per_layer"),
        per_collective=stack.parameter("host_per_collective"),
        per_kernel=stack.parameter("host_per_kernel"),
    )
    per_sequence = stack.parameter("host_per_sequence")
    frame = frame_runtime(
        tokens=phase.tokens, sequences=phase.sequences, per_token=stack.parameter("host_per_token"),
        per_sequence=per_sequence, gap=stack.parameter("step_gap"),
    )  # fmt: skip
    mean = device if phase.stages == 1 else device / phase.stages
    slowest = device if phase.stages == 1 else slowest_stage(kernels, lowered, graph, phase.stages)
    step = step_runtime(device=slowest, host=host / phase.stages, frame=frame) + phase.delay

    def over_job(per_step: Number) -> Number:
        return over_steps(per_step, phase.steps) * phase.share

    runtime, bubble = over_job(step), 0.0
    if phase.stages > 1:  # the others fill while one pass goes by: all stages once, the slowest for each further pass
        others = step - slowest + (phase.stages * mean - slowest) / (phase.stages - 1)
        bubble = over_job(slowest - mean) + phase.fill * others
        runtime = runtime + phase.fill * others
    return PhaseCost(
        phase, graph, kernels, lowered, runtime, over_job(step - slowest), step,
        over_job(phase.sequences * per_sequence), misfits, bubble=bubble,
    )  # fmt: skip
