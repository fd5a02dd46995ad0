"""The efficiency gap: ideal against actual latency of models of known accuracy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from perfsim.catalog.accuracy import Accuracy, accuracies
from perfsim.costs.waterline import efficiency_gap
from perfsim.errors import InputError, checked_type
from perfsim.prediction.breakdown import settings_of, titles_of
from perfsim.prediction.prediction import Prediction
from perfsim.quantities.numbers import Number

__all__ = [
    "GapPoint", "Rated", "Results", "catalogue_key", "family_of", "gap_points", "gap_points_of_any", "listed",
    "pareto_front", "rated", "rated_if_known",
]  # fmt: skip


_FAMILY = re.compile(r"(?:wide-|tf-)?[a-z]+?(?:v\d+)?(?![a-z])")


@dataclass(frozen=True, eq=False)
class Rated:
    """A prediction whose quality is known: accuracy [1], source: who says so, family: which points belong together."""

    prediction: Prediction
    accuracy: float
    source: str = "declared"
    family: str = ""


Results = Sequence[Rated | Prediction] | Rated | Prediction
"""What the figures take: predictions, rated or not, or one of them."""


@dataclass(frozen=True)
class GapPoint:
    """A model between its ideal and its actual latency, per sample [s].

    title: the model, and what else tells it apart; setting: the latter alone, the same for points to compare; family;
    accuracy [1] and its source, None and "" where none is known; ideal: matrix work over the matrix peak of all
    devices; actual: predicted runtime; batch: samples that share the runtime; sample: what one is, e.g. ``image``;
    parameters [1].
    """

    title: str
    family: str
    accuracy: float | None
    source: str
    batch: Number
    ideal: Number
    actual: Number
    sample: str = "sample"
    parameters: Number = None
    setting: str = ""

    @property
    def height(self) -> float:
        """Where the model stands in a figure: accuracy [%], or parameters [1] where none is known."""
        return float(self.parameters) if self.accuracy is None else 100 * self.accuracy

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
        names = [
            "title", "setting", "family", "accuracy", "source", "batch", "ideal", "actual", "gap", "efficiency",
            "parameters",
        ]  # fmt: skip
        return {name: getattr(self, name) for name in names}


def rated(p: Prediction, declared: Mapping[str, float] | None = None) -> Rated:
    """``p`` with its accuracy: the declared one by model name [1], else that of the bundled table.

    Of several trainings of a model the first published one counts, so that a family is not a mix of recipes.

    Raises
    ------
    InputError
        if neither knows the model at the image size of the job.
    """
    found = rated_if_known(p, declared)
    if isinstance(found, Rated):
        return found
    key = catalogue_key(p)
    known = [row for row in accuracies() if row.model == key]
    missing = _missing(known, _image_size(p))
    raise InputError(f"no accuracy of {p.model.name}: {missing}; declare it, e.g. --accuracy {key}=0.79")


def rated_if_known(p: Prediction, declared: Mapping[str, float] | None = None) -> Rated | Prediction:
    """As :func:`rated`, but the bare prediction where neither knows the model.

    Raises
    ------
    InputError
        for a declared accuracy that is no share.
    """
    key = catalogue_key(p)
    for stated in (key, p.model.name):
        if declared and stated in declared:
            return Rated(p, _share(stated, declared[stated]), "declared", family_of(key))
    size = _image_size(p)
    first = next((row for row in accuracies() if row.model == key and row.image_size == size), None)
    return p if first is None else Rated(p, first.top1, f"{first.source} {first.weights}", family_of(key))


def _image_size(p: Prediction) -> Any:
    return p.job.describe().get("image_size") or p.model.shape().get("image_size")


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


def listed(items: Results) -> list[Rated | Prediction]:
    """The predictions of a figure as a list; a single one makes a list of one.

    Raises
    ------
    InputError
        for an empty list, or something that is no prediction.
    """
    found = list(items) if isinstance(items, list | tuple) else [items]
    if not found:
        raise InputError("efficiency gap: an empty list, expected predictions")
    for item in found:
        checked_type("result", item, (Rated, Prediction), "predictions, or Rated ones")
    return found  # type: ignore[return-value]


def gap_points(items: Results) -> tuple[GapPoint, ...]:
    """One point per prediction, in the order given.

    Raises
    ------
    InputError
        for an empty list, or a prediction without a known accuracy.
    """
    return _told_apart(
        [_rated_point(item if isinstance(item, Rated) else rated(item)) for item in listed(items)], items
    )


def gap_points_of_any(items: Results) -> tuple[GapPoint, ...]:
    """As :func:`gap_points`; where no accuracy at all is known, the points have none and stand at their parameters.

    Raises
    ------
    InputError
        for an empty list, or where the accuracy of only some is known.
    """
    found = listed(items)
    if any(isinstance(item, Rated) or isinstance(rated_if_known(item), Rated) for item in found):
        return gap_points(found)
    return _told_apart([_point(p, family_of(catalogue_key(p))) for p in found if isinstance(p, Prediction)], items)


def _told_apart(points: Sequence[GapPoint], items: Results) -> tuple[GapPoint, ...]:
    """Points with titles that no other one has."""
    predictions = [item.prediction if isinstance(item, Rated) else item for item in listed(items)]
    names = zip(points, titles_of(predictions), settings_of(predictions), strict=True)
    return tuple(replace(point, title=title, setting=setting) for point, title, setting in names)


def _rated_point(item: Rated) -> GapPoint:
    return replace(_point(item.prediction, item.family), accuracy=item.accuracy, source=item.source)


def _point(p: Prediction, family: str) -> GapPoint:
    batch = p.job.tokens_out or 1
    gap = efficiency_gap(flops=p.mfu * p.peak * p.devices * p.runtime, peak=p.peak * p.devices, runtime=p.runtime)
    return GapPoint(
        p.model.name, family, None, "", batch, p.runtime / gap / batch, p.runtime / batch, p.job.delivers,
        p.job.sizes(p.model)[0],
    )  # fmt: skip


def pareto_front(points: Sequence[GapPoint]) -> tuple[GapPoint, ...]:
    """Points that no other beats in both accuracy and actual latency, fastest first."""
    front: list[GapPoint] = []
    for point in sorted(points, key=lambda each: (each.actual, -each.height)):
        if not front or point.height > front[-1].height:
            front.append(point)
    return tuple(front)
