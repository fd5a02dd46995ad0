"""The efficiency gap: ideal against actual latency of models of known accuracy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perfsim.catalog.accuracy import Accuracy, accuracies
from perfsim.costs.waterline import efficiency_gap
from perfsim.errors import InputError
from perfsim.quantities.numbers import Number

if TYPE_CHECKING:
    from perfsim.prediction.prediction import Prediction

__all__ = ["GapPoint", "Rated", "catalogue_key", "family_of", "gap_points", "pareto_front", "rated"]


_FAMILY = re.compile(r"(?:wide-|tf-)?[a-z]+(?:v\d+)?")


@dataclass(frozen=True, eq=False)
class Rated:
    """A prediction whose quality is known: accuracy [1], source: who says so, family: which points belong together."""

    prediction: Prediction
    accuracy: float
    source: str = "declared"
    family: str = ""


@dataclass(frozen=True)
class GapPoint:
    """A model between its ideal and its actual latency, per sample [s].

    title: what tells it apart; family; accuracy [1] and its source; ideal: matrix work over the matrix peak of all
    devices; actual: predicted runtime; batch: samples that share the runtime.
    """

    title: str
    family: str
    accuracy: float
    source: str
    batch: Number
    ideal: Number
    actual: Number

    @property
    def gap(self) -> Number:
        """Actual over ideal latency [1]."""
        return self.actual / self.ideal

    @property
    def efficiency(self) -> Number:
        """Computational efficiency [1], one over the gap."""
        return self.ideal / self.actual

    def to_dict(self) -> dict[str, Any]:
        """The point as plain data in SI units."""
        names = ("title", "family", "accuracy", "source", "batch", "ideal", "actual", "gap", "efficiency")
        return {name: getattr(self, name) for name in names}


def rated(p: Prediction, declared: Mapping[str, float] | None = None) -> Rated:
    """``p`` with its accuracy: the declared one by model name [1], else that of the bundled table.

    Of several trainings of a model the first published one counts, so that a family is not a mix of recipes.

    Raises
    ------
    InputError
        if neither knows the model at the image size of the job.
    """
    name, key = p.model.name, catalogue_key(p)
    family = family_of(key)
    for stated in (key, name):
        if declared and stated in declared:
            return Rated(p, _share(stated, declared[stated]), "declared", family)
    size = p.job.describe().get("image_size") or p.model.shape().get("image_size")
    known = [row for row in accuracies() if row.model == key]
    fitting = [row for row in known if row.image_size == size]
    if not fitting:
        raise InputError(f"no accuracy of {name}: {_missing(known, size)}; declare it, e.g. --accuracy {key}=0.79")
    first = fitting[0]
    return Rated(p, first.top1, f"{first.source} {first.weights}", family)


def _missing(known: Sequence[Accuracy], size: Any) -> str:
    if not known:
        return "measurements/accuracy.csv does not have it"
    sizes = ", ".join(sorted({str(row.image_size) for row in known}))
    return f"measurements/accuracy.csv has it at {sizes} pixels, the job has {size}"


def _share(name: str, value: float) -> float:
    if not 0 < value <= 1:
        raise InputError(f"accuracy of {name} is {value:g}, expected a share above 0 and at most 1, e.g. 0.79")
    return value


def catalogue_key(p: Prediction) -> str:
    """Name of the model as the catalogue writes it."""
    return p.model.name.lower().replace(" ", "-")


def family_of(name: str) -> str:
    """Start of a model's name up to its size, e.g. ``convnext`` of ``convnext-tiny``; networks of it get one line."""
    found = _FAMILY.match(name)
    return found.group() if found else name


def gap_points(items: Sequence[Rated | Prediction]) -> tuple[GapPoint, ...]:
    """One point per prediction, in the order given.

    Raises
    ------
    InputError
        for an empty list, or a prediction without a known accuracy.
    """
    if not items:
        raise InputError("efficiency gap: an empty list, expected predictions")
    return tuple(_point(item if isinstance(item, Rated) else rated(item)) for item in items)


def _point(item: Rated) -> GapPoint:
    p = item.prediction
    batch = p.job.tokens_out or 1
    gap = efficiency_gap(flops=p.mfu * p.peak * p.devices * p.runtime, peak=p.peak * p.devices, runtime=p.runtime)
    return GapPoint(
        p.model.name, item.family, item.accuracy, item.source, batch, p.runtime / gap / batch, p.runtime / batch
    )


def pareto_front(points: Sequence[GapPoint]) -> tuple[GapPoint, ...]:
    """Points that no other beats in both accuracy and actual latency, fastest first."""
    front: list[GapPoint] = []
    for point in sorted(points, key=lambda each: (each.actual, -each.accuracy)):
        if not front or point.accuracy > front[-1].accuracy:
            front.append(point)
    return tuple(front)
