"""The waterline of a prediction: its kernels in order, under the ridge point of its device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from perfsim.costs.roofline import ridge_point
from perfsim.costs.waterline import aggregate_efficiency, attainable_efficiency, submerged
from perfsim.errors import InputError
from perfsim.prediction.rows import OperatorRow
from perfsim.quantities.numbers import Number

if TYPE_CHECKING:
    from perfsim.prediction.prediction import Prediction

__all__ = ["Waterline", "waterline_of"]


@dataclass(frozen=True)
class Waterline:
    """Kernels in order of execution, and the machine under them.

    model, device, stack: keys; devices: how many; job: the task and what it states, in words; peak: of the matrix unit
    over all working devices [FLOP/s]; bandwidth: of main memory over all working devices [byte/s]; matrix_flops: the
    part of the work that the matrix unit does [FLOP]; kernels: over all their executions.
    """

    model: str
    device: str
    devices: int
    stack: str
    job: str
    peak: Number
    bandwidth: Number
    matrix_flops: Number
    kernels: tuple[OperatorRow, ...]

    @property
    def ridge_point(self) -> Number:
        """Height of the waterline [FLOP/byte]."""
        return ridge_point(peak=self.peak, bandwidth=self.bandwidth)

    @cached_property
    def flops(self) -> Number:
        """Work of all kernels [FLOP]."""
        return sum(kernel.flops for kernel in self.kernels)

    @cached_property
    def traffic(self) -> Number:
        """Main-memory traffic of all kernels [byte]."""
        return sum(kernel.traffic for kernel in self.kernels)

    @cached_property
    def runtime(self) -> Number:
        """Predicted time of all kernels [s]."""
        return sum(kernel.runtime for kernel in self.kernels)

    @cached_property
    def attainable_efficiency(self) -> Number:
        """Attainable efficiency of the sequence [1]."""
        return attainable_efficiency(**self._sequence)

    @cached_property
    def aggregate_efficiency(self) -> Number:
        """Efficiency that the roofline of the aggregate would promise [1]."""
        return aggregate_efficiency(**self._sequence)

    @property
    def achieved_efficiency(self) -> Number:
        """Matrix work over the matrix peak at the predicted runtime [1]; never above the attainable one."""
        return self.matrix_flops / (self.peak * self.runtime)

    @cached_property
    def submerged_flops(self) -> Number:
        """The water: what could be computed while kernels wait for memory [FLOP]."""
        return sum(self.water(kernel) for kernel in self.kernels)

    @cached_property
    def submerged_traffic(self) -> Number:
        """Traffic of the kernels below the waterline [byte]."""
        return sum(kernel.traffic for kernel in self.kernels if self.water(kernel) > 0)

    @property
    def _sequence(self) -> dict[str, Any]:
        return {
            "flops": [kernel.flops for kernel in self.kernels],
            "traffic": [kernel.traffic for kernel in self.kernels],
            "ridge_point": self.ridge_point,
        }

    def water(self, kernel: OperatorRow) -> Number:
        """Water above the bar of a kernel [FLOP]."""
        return submerged(flops=kernel.flops, traffic=kernel.traffic, ridge_point=self.ridge_point)

    def shares(self, kernel: OperatorRow) -> tuple[float, float, float]:
        """Parts of a kernel's predicted runtime [1]: computing at the peak, waiting for memory, and all else.

        All else are launches, kernels below their roofline, the host and links. Element-wise work that a kernel does
        beside its matrix work may make the first two exceed the runtime; they are then scaled to it.
        """
        compute = kernel.flops / self.peak
        known = compute + self.water(kernel) / self.peak
        total = max(kernel.runtime, known)
        return (compute / total, (known - compute) / total, (total - known) / total) if total else (0.0, 0.0, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Everything that the figures draw, as plain data in SI units."""
        names = ("ridge_point", "attainable_efficiency", "aggregate_efficiency", "achieved_efficiency")
        totals = ("flops", "traffic", "runtime", "submerged_flops", "submerged_traffic", "peak", "bandwidth")
        data = {name: getattr(self, name) for name in ("model", "device", "devices", "stack", "job", *names, *totals)}
        fields = ("name", "kind", "phase", "count", "flops", "traffic", "operational_intensity", "runtime", "bound")
        data["kernels"] = [{field: getattr(kernel, field) for field in fields} for kernel in self.kernels]
        return data


def waterline_of(p: Prediction) -> Waterline:
    """The waterline of ``p``.

    The peak is that of the matrix unit in the number format of the fastest matrix kernel, which is the job's unless a
    technique changed it. Executions of one kernel in repeated layers are one bar: the efficiencies do not depend on
    the order, or on how kernels of equal intensity are split.

    Raises
    ------
    InputError
        if no kernel does arithmetic.
    """
    if not p.flops:
        raise InputError(f"waterline: {p.model.name} does no arithmetic in this job, so nothing could rise above water")
    fastest = max((cost.peak for phase in p.costs for cost, _ in phase.kernels if cost.matrix), default=p.peak)
    working = p.working * max(phase.phase.stages for phase in p.costs)  # of a filled pipeline all stages
    device = p.system.device
    matrix = sum(phase.total("matrix_flops") for phase in p.costs) * p.working
    return Waterline(
        p.model.name, device.key, p.devices, p.stack.key, p.job.words, fastest * working, device.bandwidth * working,
        matrix, tuple(p.operators),
    )  # fmt: skip
