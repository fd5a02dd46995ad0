"""The ledger: what each optimization buys, alone, in order, and when all the others are there already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from types import MappingProxyType
from typing import Any

from perfsim.architectures import Model
from perfsim.catalog.systems import expanded
from perfsim.devices import Device, Stack, System
from perfsim.errors import InputError
from perfsim.prediction.predict import predict
from perfsim.prediction.prediction import Prediction
from perfsim.quantities.dimensions import Dimension
from perfsim.quantities.numbers import Number
from perfsim.quantities.units import DIMENSIONS
from perfsim.techniques.base import Technique
from perfsim.techniques.registry import resolve_techniques
from perfsim.workloads import Job

__all__ = ["BOOKED", "Entry", "Ledger", "Order", "bottleneck", "ledger", "value_of"]

BOOKED = MappingProxyType({
    "runtime": DIMENSIONS["time"], "ttft": DIMENSIONS["time"], "tpot": DIMENSIONS["time"],
    "energy": DIMENSIONS["energy"], "traffic": DIMENSIONS["capacity"], "memory": DIMENSIONS["capacity"],
    "cost": Dimension.of(USD=1),
})  # fmt: skip
"""What is booked, with its dimension; less is better for all of them."""

MOST_ORDERS = 24
"""Orders that are tried: all of up to four optimizations; of more only the reversed one."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One optimization.

    alone: with nothing else; after: with it and all before it, in the order given; without: with all but this one;
    refusal: why it cannot apply alone, "" where it can. Predictions are None where a combination is refused.
    """

    technique: str
    alone: Prediction | None
    after: Prediction | None
    without: Prediction | None
    refusal: str = ""


@dataclass(frozen=True)
class Order:
    """Another order of the same optimizations; runtime [s], None with the reason where it is refused."""

    techniques: tuple[str, ...]
    runtime: float | None
    refusal: str = ""


@dataclass(frozen=True, eq=False)
class Ledger:
    """base: without any optimization; entries: in the order given; orders: the same set in other orders."""

    base: Prediction
    entries: tuple[Entry, ...]
    orders: tuple[Order, ...]

    @property
    def total(self) -> Prediction:
        """With all optimizations in the order given."""
        last = self.entries[-1].after
        assert last is not None  # the constructor function refuses otherwise
        return last

    def factor(self, prediction: Prediction | None, before: Prediction | None, metric: str) -> Number:
        """How many times less of ``metric`` there is with ``prediction`` than with ``before`` [1]; None if unknown."""
        if prediction is None or before is None:
            return None
        new, old = value_of(prediction, metric), value_of(before, metric)
        return None if new is None or old is None or not new else old / new

    @cached_property
    def interaction(self) -> Mapping[str, Number]:
        """By metric: total factor over the product of the factors alone [1].

        1: the optimizations do not touch each other; below 1: they fight for the same time; above 1: one opens the
        way for another. None where one of them cannot apply alone.
        """
        result: dict[str, Number] = {}
        for metric in BOOKED:
            alone = [self.factor(entry.alone, self.base, metric) for entry in self.entries]
            whole, product = self.factor(self.total, self.base, metric), 1.0
            for each in alone:
                product = product * each if each is not None and product is not None else None  # type: ignore[assignment]
            result[metric] = None if whole is None or not product else whole / product
        return result

    @property
    def order_matters(self) -> bool:
        """Whether another order is refused, or differs by more than rounding."""
        runtime = float(self.total.runtime)
        return any(o.runtime is None or abs(o.runtime / runtime - 1) > 1e-9 for o in self.orders)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, SI units."""
        previous: Prediction | None = self.base
        entries = []
        for entry in self.entries:
            row = {
                "technique": entry.technique, "refusal": entry.refusal or None, "values": _values(entry.after),
                "alone": self._factors(entry.alone, self.base), "in_order": self._factors(entry.after, previous),
                "last": self._factors(self.total, entry.without), "bottleneck": bottleneck(entry.after),
            }  # fmt: skip
            entries.append(row)
            previous = entry.after
        return {
            "model": self.base.model.name, "device": self.base.system.device.key, "count": self.base.system.count,
            "stack": self.base.stack.key, "workload": self.base.job.describe(),
            "base": {"values": _values(self.base), "bottleneck": bottleneck(self.base)},
            "entries": entries, "total": self._factors(self.total, self.base),
            "interaction": dict(self.interaction), "order_matters": self.order_matters,
            "orders": [{"techniques": list(o.techniques), "runtime": o.runtime, "refusal": o.refusal or None}
                       for o in self.orders],
        }  # fmt: skip

    def _factors(self, prediction: Prediction | None, before: Prediction | None) -> dict[str, Number]:
        return {metric: self.factor(prediction, before, metric) for metric in BOOKED}

    def table(self) -> str:
        """As text."""
        from perfsim.prediction.ledger_table import ledger_table

        return ledger_table(self)


def value_of(prediction: Prediction, metric: str) -> Number:
    """A booked quantity of a prediction [SI]; None where it has none."""
    return prediction.memory.total if metric == "memory" else getattr(prediction, metric)


def _values(prediction: Prediction | None) -> dict[str, Number] | None:
    return None if prediction is None else {metric: value_of(prediction, metric) for metric in BOOKED}


def bottleneck(prediction: Prediction | None) -> str | None:
    """Kind of kernel and activity that most time goes into, e.g. ``linear, memory-bound in decode``."""
    if prediction is None:
        return None
    sums: dict[tuple[str, str, str], float] = {}
    for row in prediction.operators:
        key = (row.kind, row.bound, row.phase)
        sums[key] = sums.get(key, 0.0) + float(row.runtime)
    (kind, bound, phase), time = max(sums.items(), key=lambda item: item[1])
    return f"{kind}, {bound}-bound in {phase} ({time / float(prediction.runtime):.0%})"


def ledger(
    model: str | Model,
    job: Job,
    on: str | Device | System,
    *,
    using: Iterable[str | Technique],
    count: int | None = None,
    stack: str | Stack = "ideal",
    what_if: Mapping[str, Any] | None = None,
) -> Ledger:
    """What each of ``using`` buys in time, energy, bytes, memory and money; arguments as :func:`perfsim.predict`.

    Every technique is predicted alone, after those before it, and taken out of the whole; up to four are also put
    into every other order.

    Raises
    ------
    PerfsimError
        as :func:`perfsim.predict`, and if there is nothing to book or the whole combination is refused.
    """
    chain = resolve_techniques(expanded(using))
    if not chain:
        raise InputError("using is empty: a ledger books optimizations; give at least one technique")
    shared = {"count": count, "stack": stack, "what_if": what_if}

    def run(some: Sequence[Technique]) -> Prediction:
        return predict(model, job, on, using=tuple(some), **shared)  # type: ignore[arg-type]

    base = run(())
    whole = run(chain)
    entries = []
    for index, technique in enumerate(chain):
        alone, refusal = _tried(run, (technique,))
        last = index == len(chain) - 1
        after = whole if last else _tried(run, chain[: index + 1])[0]
        without = _tried(run, (*chain[:index], *chain[index + 1 :]))[0]
        entries.append(Entry(str(technique), alone, after, without, refusal))
    return Ledger(base, tuple(entries), tuple(_orders(run, chain)))


def _tried(run: Any, chain: Sequence[Technique]) -> tuple[Prediction | None, str]:
    try:
        return run(chain), ""
    except InputError as error:
        return None, str(error)


def _orders(run: Any, chain: tuple[Technique, ...]) -> Iterable[Order]:
    every = list(permutations(chain)) if len(chain) <= 4 else [chain, chain[::-1]]
    for order in every[1:MOST_ORDERS]:
        result, refusal = _tried(run, order)
        yield Order(tuple(map(str, order)), None if result is None else float(result.runtime), refusal)
