"""What a metric depends on, and how much: elasticities, and the bars of a tornado chart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log
from typing import Any

from perfsim.errors import InputError, PerfsimError, UnknownNameError
from perfsim.prediction.prediction import Prediction
from perfsim.sweeps.constraints import value_of
from perfsim.sweeps.design import Design
from perfsim.sweeps.metrics import METRICS

__all__ = ["Elasticity", "Swing", "effects", "elasticities", "quantities", "tornado"]

STEP = 1e-5
"""Relative change on either side of the present value [1]."""

LEAST = 1e-7
"""Elasticities below it are rounding [1]."""


@dataclass(frozen=True)
class Elasticity:
    """d log metric / d log quantity at the present value [1].

    below, above: of the smaller and of the larger side; they differ where the metric bends.
    """

    quantity: str
    below: float
    above: float

    @property
    def value(self) -> float:
        """Central difference: the mean of both sides."""
        return (self.below + self.above) / 2


@dataclass(frozen=True)
class Swing:
    """Metric with a quantity made smaller (``low``) and larger (``high``), others as they are; ``present`` between."""

    quantity: str
    low: float
    high: float
    present: float

    @property
    def width(self) -> float:
        """Largest minus smallest of the three."""
        return max(self.low, self.high, self.present) - min(self.low, self.high, self.present)


def quantities(design: Design) -> tuple[str, ...]:
    """Gradual numbers of the device, its links and the stack that are not zero."""
    profiles = design.profiles
    return tuple(
        f"{profile.kind}.{path}" for profile in profiles for path, datum in profile.data.items()
        if _is_number(datum.value) and not path.endswith(".domain")
    )  # fmt: skip


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value != 0


def _metric(name: str) -> str:
    if name not in METRICS:
        raise UnknownNameError("metric", name, METRICS)
    if METRICS[name].choices or not METRICS[name].unit:
        raise InputError(f"{name} is no quantity; expected e.g. runtime, tpot or cost")
    return name


def elasticities(
    metric: str, *, model: Any, job: Any, on: Any, to: Iterable[str] | None = None, **request: Any
) -> tuple[Elasticity, ...]:
    """How many per cent a metric changes per per cent of each quantity, the largest first; those without effect are
    left out.

    to: quantities, by default all gradual ones of the device and the stack. Under the ideal stack, where there are no
    fixed times, those of the runtime to all rates add up to −1: a tenfold machine takes a tenth. Whole numbers cannot
    change by a hundred-thousandth; ask :func:`perfsim.symbolic` for them.

    Raises
    ------
    PerfsimError
        as :func:`perfsim.predict`, for unknown names, and for whole numbers.
    """
    design = Design(model, job, on, **request)
    return effects(design, {}, _metric(metric), quantities(design) if to is None else tuple(to))


def effects(design: Design, base: Mapping[str, Any], metric: str, to: Iterable[str]) -> tuple[Elasticity, ...]:
    """As :func:`elasticities`, at a design with the changes ``base``, none of them in ``to``.

    Raises
    ------
    PerfsimError
        as :func:`elasticities`.
    """
    present = float(value_of(design.at(base), metric))
    found = []
    for path in to:
        value = design.value(path)
        if isinstance(value, int):
            raise InputError(f"{path} is a whole number; expected a quantity that changes gradually, or ask symbolic()")
        low, high = (_changed(design, {**base, path: value * (1 + sign * STEP)}, metric) for sign in (-1, 1))
        if low is not None and high is not None:
            sides = log(present / low) / -log(1 - STEP), log(high / present) / log(1 + STEP)
            found.append(Elasticity(path, *sides))
    moved = [e for e in found if max(abs(e.below), abs(e.above)) > LEAST]
    return tuple(sorted(moved, key=lambda e: -abs(e.value)))


def _changed(design: Design, changes: Mapping[str, Any], metric: str) -> float | None:
    """The metric with changes; None where the change is refused, e.g. a share above 1."""
    try:
        p: Prediction = design.at(changes)
    except PerfsimError:
        return None
    return float(value_of(p, metric))


def tornado(
    metric: str, *, model: Any, job: Any, on: Any, to: Iterable[str] | None = None, factor: float = 1.25, **request: Any
) -> tuple[Swing, ...]:
    """A metric with each quantity divided and multiplied by ``factor``, the widest swing first.

    Whole numbers are rounded. to: as in :func:`elasticities`. Values that are refused leave the present metric.

    Raises
    ------
    PerfsimError
        as :func:`perfsim.predict`, for unknown names, and for a factor that is not above 1.
    """
    if not factor > 1:
        raise InputError(f"factor={factor!r}: expected a number above 1, e.g. 1.25")
    design, name = Design(model, job, on, **request), _metric(metric)
    present = float(value_of(design.at({}), name))
    swings = []
    for path in quantities(design) if to is None else to:
        value = design.value(path)
        ends = [value / factor, value * factor]
        if isinstance(value, int):
            ends = [max(1, round(end)) for end in ends]
        low, high = (_changed(design, {path: end}, name) for end in ends)
        swings.append(Swing(path, present if low is None else low, present if high is None else high, present))
    return tuple(sorted((s for s in swings if s.width > LEAST * present), key=lambda s: -s.width))
