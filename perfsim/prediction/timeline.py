"""Memory of one device over the time of a prediction: what is stored, and what is alive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from perfsim.costs import PhaseCost
from perfsim.costs.fullest import alive_activations
from perfsim.costs.memory import saved_activations
from perfsim.graph import Role
from perfsim.quantities.numbers import Number, is_array

if TYPE_CHECKING:
    from perfsim.prediction.prediction import Prediction

__all__ = ["MemoryTimeline", "Moment", "memory_timeline_of"]

PARTS = ("weights", "gradients", "optimizer_states", "kv_cache", "saved_activations", "activations", "workspace")
"""Parts of the memory, from the most lasting to the most fleeting."""


@dataclass(frozen=True)
class Moment:
    """A stretch of time in which the memory does not change: a kernel in a single pass, a step in a longer phase.

    start, end [s]; parts: bytes by part [byte].
    """

    name: str
    phase: str
    start: float
    end: float
    parts: dict[str, Number]

    @property
    def total(self) -> Number:
        """All parts together [byte]."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class MemoryTimeline:
    """Moments in order, without gaps; capacity of the device [byte], None if unknown; reserved: the sum of every
    part's largest value [byte], which is what the prediction says is needed.
    """

    model: str
    device: str
    stack: str
    moments: tuple[Moment, ...]
    capacity: Number | None
    reserved: Number

    @cached_property
    def peak(self) -> Moment:
        """The first moment with the most bytes."""
        return max(self.moments, key=lambda moment: moment.total)

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """Parts that are ever more than nothing."""
        return tuple(part for part in PARTS if any(moment.parts[part] for moment in self.moments))

    def to_dict(self) -> dict[str, Any]:
        """Everything that the figure draws, as plain data in SI units."""
        moments = [
            {"name": m.name, "phase": m.phase, "start": m.start, "end": m.end, **m.parts, "total": m.total}
            for m in self.moments
        ]
        head = {name: getattr(self, name) for name in ("model", "device", "stack", "capacity", "reserved")}
        return {**head, "peak": {"name": self.peak.name, "total": self.peak.total}, "moments": moments}


def memory_timeline_of(p: Prediction) -> MemoryTimeline:
    """Memory of the fullest device while ``p`` runs.

    A phase of one pass is told kernel by kernel, repeated layers one after the other; a phase of many steps step by
    step, with the largest activations of a step. Weights, gradients and optimizer states are there all the time.
    Caches grow with the positions that they hold, up to what the prediction reserves; those of a second network are
    there at their largest while the first one runs. Weights in a memory of their own are left out. Host time before a
    pass, and time that is declared, lies at the start of its phase. What training saves for backward passes grows in a
    forward pass and shrinks in a backward one; what is computed again is there for one layer at a time. Where passes
    are many, those of a phase are one moment, with all that is saved at its largest.
    """
    lasting = {part: getattr(p.memory, part) for part in PARTS if part != "saved_activations"}
    if p.memory.weights_in is not None:
        lasting["weights"] = 0
    longest = _longest_caches(p.costs)
    everything = sum(longest.values())
    scale = p.memory.kv_cache / everything if everything else 0  # the fullest of several pipeline stages
    moments: list[Moment] = []
    start = 0.0
    for cost, kept in zip(p.costs, _saved(p.costs), strict=True):
        others = everything - longest[cost.phase.network]
        for name, runtime, cache, alive, saved in _stretches(cost, kept):
            parts = {
                **lasting, "kv_cache": round((cache + others) * scale), "saved_activations": saved,
                "activations": alive,
            }  # fmt: skip
            moments.append(Moment(name, cost.name, start, start + runtime, parts))
            start += runtime
    return MemoryTimeline(
        p.model.name, p.system.device.key, p.stack.key, tuple(moments), p.memory.capacity, p.memory.stores[0][1]
    )


def _cache(cost: PhaseCost) -> Number:
    """Bytes of all caches of a phase, one value per step if they grow [byte]."""
    tensors = cost.graph.of_role(Role.KV_CACHE)
    return sum(tensor.nbytes * (cost.graph.regions[tensor.region] if tensor.region else 1) for tensor in tensors)


def _longest_caches(costs: Sequence[PhaseCost]) -> dict[str, Number]:
    """Largest caches of each network [byte]."""
    longest: dict[str, Number] = {}
    for cost in costs:
        cache = _cache(cost)
        largest = cache.max().item() if is_array(cache) else cache
        longest[cost.phase.network] = max(longest.get(cost.phase.network, 0), largest)
    return longest


@dataclass(frozen=True)
class _Saved:
    """What is saved for backward passes when a phase begins, and at its largest [byte]; added: by kernel as it begins;
    freed: by kernel as it ends [byte].
    """

    first: Number
    largest: Number
    added: Mapping[int, Number]
    freed: Mapping[int, Number]


def _saved(costs: Sequence[PhaseCost]) -> list[_Saved]:
    """What each phase finds, adds and frees.

    A tensor is freed by the last phase that reads it; what is computed again stays at one layer's in all phases that
    read anything.
    """
    made = [{t.name for t in cost.graph.of_role(Role.SAVED) if cost.graph.producer(t.name)} for cost in costs]
    read = [{t.name for t in cost.graph.of_role(Role.SAVED)} - own for cost, own in zip(costs, made, strict=True)]
    sizes = [saved_activations((cost,)) for cost in costs]
    result = []
    for i, cost in enumerate(costs):
        before = sum(size for size, own in zip(sizes[:i], made, strict=False) if own) if read[i] else 0
        forward = set().union(*(own for own, names in zip(made, read, strict=True) if not names))
        again = 0 if not read[i] else sizes[i]
        last = (read[i] & forward) - set().union(*read[i + 1 :])
        added = {} if read[i] else _bytes(cost, made[i], [[name for _, name in k.writes] for k in cost.lowered])
        freed = _bytes(cost, last, [[name for _, name in k.reads] for k in reversed(cost.lowered)])
        end = len(cost.lowered) - 1
        largest = before + sizes[i]
        result.append(_Saved(before + again, largest, added, {end - j: size for j, size in freed.items()}))
    return result


def _bytes(cost: PhaseCost, names: set[str], touched: Sequence[Sequence[str]]) -> dict[int, Number]:
    """Bytes of tensors by the first place that names them; of those that no place names, by the first place."""
    places = {name: i for i, each in reversed(list(enumerate(touched))) for name in each if name in names}
    sums: dict[int, Number] = {}
    for name in sorted(names):
        place = places.get(name, 0)
        sums[place] = sums.get(place, 0) + cost.graph.tensors[name].nbytes
    return sums


def _stretches(cost: PhaseCost, saved: _Saved) -> Iterator[tuple[str, float, Number, Number, Number]]:
    """Name, duration [s], bytes of caches, of living and of saved activations, in order of time."""
    alive = alive_activations(cost)
    cache = _cache(cost)
    if cost.steps == 1 and cost.phase.stages == 1:
        yield from _kernels(cost, alive, cache, saved)
        return
    if not any(is_array(value) for value in (cost.step_runtimes, cache, *alive)):
        yield f"{cost.steps} passes", cost.runtime, cache, max(alive), saved.largest
        return
    for step in range(cost.steps):
        runtime = _at(cost.step_runtimes, step) * cost.phase.share
        yield f"step {step + 1}", runtime, _at(cache, step), max(_at(value, step) for value in alive), saved.largest


def _kernels(
    cost: PhaseCost, alive: list[Number], cache: Number, saved: _Saved
) -> Iterator[tuple[str, float, Number, Number, Number]]:
    """One pass: each kernel, those of a repeated region once per repeat, the whole region in turn."""
    held = saved.first
    if cost.overhead > 0:
        yield "host", cost.overhead, _at(cache, 0), _at(alive[0], 0), held
    index = 0
    rows = [(c, k.lead.region) for (c, _), k in zip(cost.kernels, cost.lowered, strict=True)]
    while index < len(rows):
        region = rows[index][1]
        end = index + 1
        while region and end < len(rows) and rows[end][1] == region:
            end += 1
        for _ in range(cost.graph.regions[region] if region else 1):
            for i in range(index, end):
                kernel = rows[i][0]
                held = held + saved.added.get(i, 0)
                yield kernel.name, _at(kernel.runtime, 0) * cost.phase.share, _at(cache, 0), _at(alive[i], 0), held
                held = held - saved.freed.get(i, 0)
        index = end
    if cost.throttling > 0:
        yield "throttling", cost.throttling, _at(cache, 0), _at(alive[-1], 0), held


def _at(value: Number, step: int) -> Number:
    """The value at a step: of an array whose last axis runs over the steps, or the value itself."""
    if not is_array(value):
        return value
    flat = value.reshape(-1)
    return flat[step if flat.size > 1 else 0].item()
