"""The result of a prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from perfsim.architectures import Model
from perfsim.catalog import stack as find_stack
from perfsim.costs import Memory, PhaseCost, memory_of, phase_cost, phase_energy, power_model
from perfsim.costs.memory import store_of
from perfsim.costs.money import Economics, carbon_of, cost_of
from perfsim.costs.scratchpad import LayerPlan
from perfsim.costs.throttle import capped
from perfsim.devices import Calibration, Stack, System
from perfsim.errors import InputError
from perfsim.graph import Unit
from perfsim.prediction.carried import with_carried
from perfsim.prediction.coverage import Coverage, algorithm_conventions, conventions_of, coverage_of
from perfsim.prediction.idle import idle_remark
from perfsim.prediction.interval import Interval, runtime_interval, unmeasured
from perfsim.prediction.memory_remarks import memory_remarks
from perfsim.prediction.power import power_remarks
from perfsim.prediction.replica_remarks import replica_remarks
from perfsim.prediction.rows import BOUNDS, OperatorRow, PhaseRow, job_bound, operator_rows, phase_row, whole_total
from perfsim.quantities.dtypes import dtype
from perfsim.quantities.numbers import Number, at_most, is_symbolic
from perfsim.techniques.base import Technique
from perfsim.workloads import Job, Layout

if TYPE_CHECKING:
    from perfsim.costs.activity import ActivityPower
    from perfsim.costs.energy import PowerModel
    from perfsim.prediction.traffic import TrafficDay

__all__ = ["Prediction"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Time, energy, memory and money of a job. All numbers are SI.

    model, job, system, stack (resolved for the device), using: what was asked; costs: phases on one device;
    layout: how the model is spread; economics: price, power usage effectiveness and grid; idle: techniques that
    changed nothing.
    """

    model: Model
    job: Job
    system: System
    stack: Stack
    using: tuple[Technique, ...]
    costs: tuple[PhaseCost, ...]
    layout: Layout
    known_calibrations: list[Calibration]
    rerun: Callable[..., Prediction] = field(repr=False)
    economics: Economics = field(default_factory=Economics)
    idle: tuple[Technique, ...] = ()

    @cached_property
    def runtime(self) -> Number:
        """Time of the whole job [s]."""
        return sum(phase.runtime for phase in self.costs)

    def _phase(self, name: str) -> PhaseCost | None:
        return next((phase for phase in self.costs if phase.name == name), None)

    def _stage(self, stage: str) -> Number | None:
        """Runtime of all phases of a stage [s]; None if there is none."""
        runtimes = [cost.runtime for cost in self.costs if cost.phase.stage == stage]
        return sum(runtimes) if runtimes else None

    @property
    def ttft(self) -> Number | None:
        """Time to first token [s]; None without a prefill."""
        return self._stage("prefill")

    @property
    def tpot(self) -> Number | None:
        """Mean time per further output token [s]; None without a decode, or where the job asks for one token only."""
        decode, steps = self._stage("decode"), self.job.decode_steps
        asked = is_symbolic(steps) or steps > 0
        return decode / steps if decode is not None and asked else None

    @property
    def step_time(self) -> Number | None:
        """Time of one optimizer step of training [s]; None for other jobs."""
        return None if self.job.optimizer_steps is None else self.runtime / self.job.optimizer_steps

    @property
    def throughput(self) -> Number | None:
        """Output tokens or images per second over all replicas, which share the job's batch [token/s, sample/s]."""
        return self.job.tokens_out / self.runtime if self.job.tokens_out else None

    @property
    def devices(self) -> int:
        """Devices used and paid for."""
        return self.layout.devices

    @property
    def setup(self) -> str:
        """Model, devices and stack in words, as titles begin: ``gpt2 on 1 × h100-sxm5-80gb under vllm``."""
        return f"{self.model.name} on {self.devices} × {self.system.device.key} under {self.stack.key}"

    @property
    def working(self) -> Number:
        """Devices that work at the same time on one pass, times the replicas that have work."""
        return self.layout.tensor * self.job.replicas_at_work(self.layout.data)

    @cached_property
    def _energies(self) -> tuple[Number | None, ...]:
        device = self.system.device
        power = power_model(device)
        if power is None:
            return (None,) * len(self.costs)
        return tuple(self._phase_energy(phase, power) for phase in self.costs)

    def _phase_energy(self, cost: PhaseCost, power: PowerModel | ActivityPower) -> Number:
        """Energy of all devices over a phase [J]: of those that work, all stages of a filled pipeline, and the rest."""
        working = self.working * cost.phase.stages
        idle = power.idle * cost.runtime * (self.devices - working)
        return phase_energy(cost, self.system.device, power) * working + idle

    @property
    def energy(self) -> Number | None:
        """Energy of all devices [J]; None where no source gives the device's power."""
        known = [energy for energy in self._energies if energy is not None]
        return sum(known) if len(known) == len(self._energies) else None

    @property
    def power(self) -> Number | None:
        """Mean power of all devices [W]."""
        return None if self.energy is None else self.energy / self.runtime

    @property
    def throttling(self) -> Number:
        """Part of the runtime that a power limit adds [s]; 0 on devices as rated."""
        return sum(phase.throttling for phase in self.costs)

    @property
    def cost(self) -> Number | None:
        """Price of all devices for the runtime [USD]; None where the device has no price."""
        price = self.economics.price
        return None if price is None else cost_of(runtime=self.runtime, devices=self.devices, price=price)

    @property
    def carbon(self) -> Number | None:
        """Operational carbon [kg CO2e] at the power usage effectiveness and grid of :attr:`economics`."""
        pue, intensity = self.economics.pue, self.economics.intensity
        unknown = self.energy is None or intensity is None
        return None if unknown else carbon_of(energy=self.energy, pue=pue, intensity=intensity)

    def traffic_day(
        self, requests: Number, *, busiest: float = 1.0, electricity: str | None = None
    ) -> TrafficDay:
        """Devices, money, energy and carbon of serving ``requests`` requests a day as this job runs them.

        busiest: load of the busiest moment over the day's mean [1], which the devices must bear; electricity: key of
        ``hardware/economics/electricity.toml`` or e.g. ``"0.2 USD/kWh"``.

        Raises
        ------
        InputError
            if the job does not answer requests, or a number is out of range.
        """
        from perfsim.prediction.traffic import traffic_day

        return traffic_day(self, requests, busiest, electricity)

    @cached_property
    def phases(self) -> tuple[PhaseRow, ...]:
        """Totals per phase."""
        device = self.system.device
        return tuple(phase_row(p, e, self.working, device) for p, e in zip(self.costs, self._energies, strict=True))

    @cached_property
    def operators(self) -> tuple[OperatorRow, ...]:
        """Kernels per phase, and the host's overhead; their runtimes add up to :attr:`runtime`."""
        return tuple(row for phase in self.costs for row in operator_rows(phase, self.working))

    @property
    def flops(self) -> Number:
        """Work on all devices [FLOP]."""
        return sum(whole_total(cost, "flops", self.working) for cost in self.costs)

    @property
    def traffic(self) -> Number:
        """Main-memory traffic on all devices [byte]."""
        return sum(whole_total(cost, "traffic", self.working) for cost in self.costs)

    @cached_property
    def memory(self) -> Memory:
        """Memory of the fullest device."""
        weights_in = store_of(self.system.device, self.stack)
        return memory_of(self.costs, self.system.capacity, self.layout.pipeline, weights_in)

    @property
    def bound(self) -> str:
        """What the job spends most of its time with: compute, memory, network or overhead."""
        return BOUNDS[job_bound(self.costs)]

    @property
    def operational_intensity(self) -> Number | None:
        """Work over main-memory traffic [FLOP/byte]; None without traffic."""
        return self.flops / self.traffic if self.traffic else None

    @property
    def peak(self) -> Number:
        """Dense matrix peak of one device in the job's number format [FLOP/s]."""
        return self.system.device.peak(Unit.TENSOR, dtype(self.job.dtype or "fp32"))

    @property
    def mfu(self) -> Number:
        """Model FLOP utilisation [1]: time of the matrix work at the matrix peak over the device time.

        Every product counts at the peak of the format it runs in: where all run in one, this is work over peak ×
        devices × runtime. Arithmetic that a kernel skips (zeros of a sparse product) is not counted as done.
        """
        return self._utilisation(phase for phase in self.costs if phase.name != "recompute")

    @property
    def hfu(self) -> Number:
        """Hardware FLOP utilisation [1]: as :attr:`mfu`, with the work that is done again counted."""
        return self._utilisation(self.costs)

    def _utilisation(self, phases: Iterable[PhaseCost]) -> Number:
        at_peak = sum(phase.total("at_peak") for phase in phases)
        return at_most(at_peak * self.working / (self.devices * self.runtime), 1.0)

    @property
    def mbu(self) -> Number:
        """Memory bandwidth utilisation [1]: traffic over bandwidth × devices × runtime."""
        traffic = sum(cost.traffic for cost in self.costs) * self.working
        return at_most(traffic / (self.system.device.bandwidth * self.devices * self.runtime), 1.0)

    @cached_property
    def ideal(self) -> Prediction:
        """The same job on the same devices under the ideal stack, with the algorithms of this one."""
        return self if self.stack.is_perfect else self.rerun(stack=find_stack("ideal").running(self.stack))

    @property
    def ideal_runtime(self) -> Number:
        """Runtime of :attr:`ideal` [s], which no stack undercuts."""
        return at_most(self.ideal.runtime, self.runtime)

    @cached_property
    def relative_interval(self) -> Interval:
        """Interval of the runtime relative to the expected one."""
        device = self.system.device.key
        applied = tuple(t.name for t in self.using if t.name != "parallel")
        known = self.known_calibrations
        family = self.model.family
        found = runtime_interval(self.stack, known, self.job, self.layout, device, applied, self.what_ifs, family)
        return with_carried(found, self.stack, self.costs)

    @property
    def what_ifs(self) -> tuple[str, ...]:
        """Paths of the quantities that are not those of the catalogue."""
        profiles = (self.system.device, self.stack)
        return tuple(f"{p.kind}.{path}" for p in profiles for path, d in p.data.items() if d.status == "what-if")

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of the runtime [s], which it holds; never below the ideal runtime."""
        factors = [(phase.runtime, *self.relative_interval.bounds(phase.name)) for phase in self.costs]
        low = max(sum(runtime * low for runtime, low, _ in factors), self.ideal_runtime)
        return min(low, self.runtime), max(sum(runtime * high for runtime, _, high in factors), self.runtime)

    @cached_property
    def coverage(self) -> Coverage:
        """What share of the model is modelled."""
        return coverage_of(self.model, self.costs)

    @property
    def plan(self) -> tuple[LayerPlan, ...]:
        """Tiles, streams and features layer by layer, on a device without caches; empty on others."""
        kernels = (cost.plan for phase in self.costs for cost, _ in phase.kernels)
        return tuple(plan for plan in kernels if plan is not None)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the reader should know before using the numbers."""
        remarks = []
        limit, needed = self.model.context_limit, self._positions()
        if limit is not None and needed is not None and needed > limit:
            remarks.append(f"{needed} positions exceed the model's limit of {limit}")
        remarks += memory_remarks(self.memory, self.system.device.key)
        remarks += [idle_remark(technique) for technique in self.idle]
        remarks += replica_remarks(self.job, self.layout)
        remarks += power_remarks(self)
        remarks += unmeasured(self.stack, self.model.family)
        remarks += dict.fromkeys(remark for phase in self.costs for remark in phase.graph.remarks)
        return tuple(remarks)

    def _positions(self) -> int | None:
        fields = self.job.describe()
        if "context_length" in fields:
            return int(fields["context_length"])
        if fields.get("sequence") is not None:
            return int(fields["sequence"])
        return fields["prompt_tokens"] + fields.get("output_tokens", 0) if "prompt_tokens" in fields else None

    def table(self) -> str:
        """The result as text tables."""
        from perfsim.prediction.tables import prediction_table

        return prediction_table(self)

    def explain(self, phase: str | None = None, operator: str | None = None) -> str:
        """Formula, numbers and bound of a phase or operator, and what would move the bound.

        Raises
        ------
        InputError
            if there is no such phase or operator.
        """
        from perfsim.prediction.explain import explain

        return explain(self, phase, operator)

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data; keys as in the documentation of ``perfsim predict --json``."""
        from perfsim.export.result import result_dict

        return result_dict(self)

    def to_trace(self, path: str) -> None:
        """Write a Chrome / Perfetto trace of the predicted kernels.

        Raises
        ------
        InputError
            if the file cannot be written.
        """
        from perfsim.export.trace import write_trace

        write_trace(self, path)

    def repriced(self, stack: Stack) -> Prediction:
        """The same plan under other parameters of the stack: for calibrations, which try many of them.

        stack: resolved for the device, with the structure (attention, fusion) of the present one.
        """
        stages = self.layout.pipeline
        system = self.system
        costs = tuple(capped(phase_cost(c.phase, system, stack, stages), system, stack, stages) for c in self.costs)
        return replace(self, stack=stack, costs=costs)

    def phase(self, name: str) -> PhaseCost:
        """Cost of a phase by name.

        Raises
        ------
        InputError
            if the job has no such phase.
        """
        found = self._phase(name)
        if found is None:
            raise InputError(f'no phase "{name}"; this job has {", ".join(p.name for p in self.costs)}')
        return found

    @property
    def conventions(self) -> tuple[str, ...]:
        """How things are counted."""
        return (*conventions_of(self.job, self.model), *algorithm_conventions(self.stack))
