"""Energy of a phase: static power over time, and dynamic energy per operation and per byte."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.costs.activity import ActivityPower, activity_power
from perfsim.costs.phase import PhaseCost
from perfsim.devices import Device
from perfsim.graph import Unit
from perfsim.quantities.dtypes import DType
from perfsim.quantities.numbers import Number, minimum

__all__ = ["PowerModel", "dynamic_energy", "phase_energy", "power_model"]

BUSY_SHARE = 0.30
"""Power over the limit [1] of a device that runs a job, before it computes or moves anything: clocks up, kernels
resident. Fitted with the next two on 15 vLLM rows of Qwen3-8B on H100 (ml-energy/leaderboard@0cd52dab897c) and 9
batch-1 rows of Llama-2-70B on A100 (Mutinifni/splitwise-sim@8f99e7dc9b40); unseen rows of both: error 7-10 %."""

MEMORY_SHARE = 0.66
"""Further share of the limit [1] at full main-memory bandwidth; fitted as above."""

SERVING_SHARE = 0.52
"""Further share of the limit [1] in the time per sequence between two steps of a serving stack; fitted as above."""

MATRIX_POWER_SHARE = 0.92
"""Board power of long bf16 matrix products over the limit [1]: H200 rows with power of ai-dynamo/aiconfigurator
(0.84-0.91 on B200 and GB200)."""

IDLE_SHARE = 0.12
"""Power over the limit [1] of a device that waits, where it has no reading of its own: H100 69-75.6 W of 700 W, A100
58.1 W of 400 W in public nvidia-smi logs."""


@dataclass(frozen=True, eq=False)
class PowerModel:
    """Power of a device [W].

    idle, busy (running a job), maximum; and what full matrix work, full memory streams and serving add to busy.
    """

    idle: Number
    busy: Number
    maximum: Number
    matrix: Number
    memory: Number
    serving: Number

    def energy(self, phase: PhaseCost, device: Device) -> Number:
        """Energy of one device over a phase [J], busy share included, never above maximum power × runtime."""
        formats: dict[str, tuple[DType, Number]] = {}
        for cost, count in phase.kernels:
            _, flops = formats.get(cost.dtype.name, (cost.dtype, 0))
            formats[cost.dtype.name] = (cost.dtype, flops + phase.over_job(cost.matrix_flops * count))
        energy = self.busy * phase.runtime + self.serving * phase.serving
        for dtype, flops in formats.values():
            if not (isinstance(flops, int | float) and flops == 0):
                energy = energy + dynamic_energy(work=flops, rate=device.peak(Unit.TENSOR, dtype), power=self.matrix)
        energy = energy + dynamic_energy(work=phase.traffic, rate=device.bandwidth, power=self.memory)
        return minimum(energy, self.maximum * phase.runtime)


def power_model(device: Device) -> PowerModel | ActivityPower | None:
    """The power model of a device: by activity where it states that, else by shares of its limit; None without both.

    The shares were measured on data-centre GPUs and are carried over to all other classes.
    """
    stated = activity_power(device)
    if stated is not None:
        return stated
    limit = device.get("power.maximum")
    if limit is None:
        return None
    idle = minimum(device.get("power.idle", IDLE_SHARE * limit), limit)
    matrix = (MATRIX_POWER_SHARE - BUSY_SHARE) * limit
    return PowerModel(idle, BUSY_SHARE * limit, limit, matrix, MEMORY_SHARE * limit, SERVING_SHARE * limit)


def dynamic_energy(*, work: Number, rate: Number, power: Number) -> Number:
    """Energy above busy power [J] of work that would draw ``power`` [W] at its full ``rate``.

    work and rate are in FLOP and FLOP/s, or in byte and byte/s: each operation or byte costs power / rate.
    """
    return work * (power / rate)


def phase_energy(phase: PhaseCost, device: Device, power: PowerModel | ActivityPower) -> Number:
    """Energy of one device over a phase [J], by whichever power model the device has."""
    return power.energy(phase, device)
