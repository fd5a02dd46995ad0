"""Where two variants change places along a quantity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from perfsim.errors import PerfsimError, UnknownNameError
from perfsim.prediction.variant import SETTINGS, read_variant
from perfsim.sweeps.constraints import value_of
from perfsim.sweeps.design import Design, tried_values
from perfsim.sweeps.metrics import METRICS

__all__ = ["Crossing", "Crossover", "crossover"]


@dataclass(frozen=True)
class Crossing:
    """From ``value`` on, the variant ``better`` is better, in rising order of the quantity."""

    value: float
    better: str


@dataclass(frozen=True)
class Crossover:
    """Metric of two variants along a quantity.

    first, second: their labels; better: which one is better at the low end; crossings: where that changes; values,
    first_metric, second_metric: the values that were tried and what was found, None where a variant is refused.
    """

    quantity: str
    unit: str
    metric: str
    first: str
    second: str
    better: str
    crossings: tuple[Crossing, ...]
    values: tuple[float, ...]
    first_metric: tuple[float | None, ...]
    second_metric: tuple[float | None, ...]


def crossover(
    along: str, *, first: str | Mapping[str, Any], second: str | Mapping[str, Any], metric: str = "runtime",
    model: Any, job: Any, on: Any, between: tuple[Any, Any] | None = None, **request: Any,
) -> Crossover:  # fmt: skip
    """Where the better of two variants changes along a quantity.

    along, between: as in :func:`perfsim.solve`; first, second: variants as in :func:`perfsim.compare`, e.g.
    ``"using=weight-quantization:bits=4"`` or ``{"on": "l40s"}``, or ``{}`` for the request as it is. Equal values count
    as no change. Crossings that lie so close together that the values tried do not part them are not seen.

    Raises
    ------
    PerfsimError
        for unknown names, wrong units, or a range that is none.
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    design = Design(model, job, on, **request)
    domain = design.domain(along, between)
    sign = -1 if METRICS[metric].larger_is_better else 1
    sides = [_side(design, given) for given in (first, second)]
    labels = [label for label, _, _ in sides]

    def metrics(value: float) -> list[float | None]:
        return [_metric(base, {**changes, along: value}, metric) for _, base, changes in sides]

    def leader(value: float) -> int | None:
        one, other = metrics(value)
        if one is None or other is None or one == other:
            return None
        return 0 if sign * one < sign * other else 1

    values = tried_values(domain)
    known = [(value, lead) for value in values if (lead := leader(value)) is not None]
    crossings = []
    for (low, before), (high, after) in pairwise(known):
        if before != after:
            crossings.append(Crossing(_closed_in(leader, low, high, before, domain.whole), labels[after]))
    curves = list(zip(*map(metrics, values), strict=True))
    start = labels[known[0][1]] if known else ""
    return Crossover(
        along, domain.unit, metric, labels[0], labels[1], start, tuple(crossings), tuple(values), curves[0], curves[1]
    )


def _closed_in(leader: Any, low: float, high: float, before: int, whole: bool) -> float:
    """The first value above ``low`` with another leader."""
    while True:
        middle = (low + high) // 2 if whole else (low + high) / 2
        if middle in (low, high):
            return high
        low, high = (middle, high) if leader(middle) in (before, None) else (low, middle)


def _side(design: Design, given: str | Mapping[str, Any]) -> tuple[str, Design, dict[str, Any]]:
    """Label, design and changes of a variant."""
    if not given:
        return "as asked", design, {}
    variant = read_variant(given, type(design.job))
    settings = {name: value for name, value in variant.settings.items() if name in SETTINGS}
    if variant.using:
        settings["using"] = (*design.using, *variant.using)
    changes = {**variant.job, **variant.what_if}
    return variant.label, design.changed(settings), changes


def _metric(design: Design, changes: Mapping[str, Any], metric: str) -> float | None:
    try:
        return float(value_of(design.at(changes), metric))
    except PerfsimError:
        return None
