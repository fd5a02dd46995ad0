"""What a sweep tells about every point: read from a prediction, whatever its numbers are carried by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_
from types import MappingProxyType
from typing import TYPE_CHECKING

from perfsim.prediction.rows import BOUNDS, job_bound
from perfsim.quantities.numbers import Number

if TYPE_CHECKING:
    from perfsim.prediction.prediction import Prediction

__all__ = ["DEFAULT", "METRICS", "Metric"]


@dataclass(frozen=True)
class Metric:
    """One variable of the result.

    unit: SI; meaning: one line; of: its value in a prediction, None where it does not apply; integral: whether it
    counts something; choices: texts that a whole number stands for, for ``bound``; larger_is_better: which way a
    designer wants it.
    """

    name: str
    unit: str
    meaning: str
    of: Callable[[Prediction], Number | None]
    integral: bool = False
    choices: tuple[str, ...] = ()
    larger_is_better: bool = False


def _fits(p: Prediction) -> Number:
    if any(there is None for _, _, there in p.memory.stores):
        return False
    return reduce(and_, (used <= there for _, used, there in p.memory.stores))


def _memory(name: str) -> Callable[[Prediction], Number | None]:
    return lambda p: getattr(p.memory, name)


_FOUND = (
    Metric("runtime", "s", "time of the whole job", lambda p: p.runtime),
    Metric("ttft", "s", "time to first token", lambda p: p.ttft),
    Metric("tpot", "s", "mean time per further output token", lambda p: p.tpot),
    Metric("step_time", "s", "time of one optimizer step of training", lambda p: p.step_time),
    Metric(
        "throughput",
        "1/s",
        "tokens or samples per second over all replicas",
        lambda p: p.throughput,
        larger_is_better=True,
    ),
    Metric("energy", "J", "energy of all devices", lambda p: p.energy),
    Metric("power", "W", "mean power of all devices", lambda p: p.power),
    Metric("cost", "USD", "price of all devices for the runtime", lambda p: p.cost),
    Metric("carbon", "kg", "operational emissions, CO2 equivalent", lambda p: p.carbon),
    Metric("flops", "FLOP", "work on all devices", lambda p: p.flops, True),
    Metric("traffic", "byte", "main-memory traffic on all devices", lambda p: p.traffic, True),
    Metric("operational_intensity", "FLOP/byte", "work over traffic", lambda p: p.operational_intensity),
    Metric("mfu", "1", "model FLOP utilisation", lambda p: p.mfu, larger_is_better=True),
    Metric(
        "computational_efficiency",
        "1",
        "matrix work over peak × devices × runtime",
        lambda p: p.mfu,
        larger_is_better=True,
    ),
    Metric("mbu", "1", "memory bandwidth utilisation", lambda p: p.mbu, larger_is_better=True),
    *(
        Metric(f"memory_{part}", "byte", f"memory per device: {part}", _memory(part), True)
        for part in ("total", "weights", "kv_cache", "activations", "gradients", "optimizer_states", "workspace")
    ),
    Metric("capacity", "byte", "main memory of one device", _memory("capacity")),
    Metric("fits", "", "whether the memory is known to suffice", _fits),
    Metric("bound", "", "what the job spends most time with", lambda p: job_bound(p.costs), choices=BOUNDS),
    Metric("ideal_runtime", "s", "runtime under the ideal stack", lambda p: p.ideal_runtime),
)

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _FOUND})
"""All variables by name."""

DEFAULT: tuple[str, ...] = tuple(name for name in METRICS if name != "ideal_runtime")
"""Those that a sweep computes unless told otherwise."""
