"""Where the time goes: the runtime of predictions by kind of operator, by bound and by phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perfsim.errors import InputError
from perfsim.quantities.numbers import Number

if TYPE_CHECKING:
    from perfsim.prediction.prediction import Prediction
    from perfsim.prediction.rows import OperatorRow

__all__ = ["Breakdown", "breakdown_of", "heading_of", "settings_of", "titles_of"]

ASPECTS = ("kind", "bound", "phase")
"""What the time is split by: fields of the rows of a prediction."""


@dataclass(frozen=True)
class Breakdown:
    """Runtime of predictions in parts.

    heading: what all predictions share, as lines; titles: one per prediction, with only what tells them apart; aspects:
    for each of ``kind``, ``bound`` and ``phase`` one dict per prediction, part → runtime [s], in order of execution.
    """

    heading: tuple[str, ...]
    titles: tuple[str, ...]
    aspects: dict[str, tuple[dict[str, Number], ...]]

    def parts(self, aspect: str) -> tuple[str, ...]:
        """Parts of an aspect over all predictions, in order of execution."""
        return tuple(dict.fromkeys(part for bar in self.aspects[aspect] for part in bar))

    def to_dict(self) -> dict[str, Any]:
        """Everything that the figure draws, as plain data [s]."""
        bars = [
            {"title": title, **{aspect: self.aspects[aspect][i] for aspect in ASPECTS}}
            for i, title in enumerate(self.titles)
        ]
        return {"heading": list(self.heading), "predictions": bars}


def breakdown_of(predictions: Prediction | Sequence[Prediction]) -> Breakdown:
    """The runtime of one or several predictions by kind of operator, bound and phase.

    The parts of every aspect add up to the runtime; the host's overhead is the kind ``host``.

    Raises
    ------
    InputError
        if there is nothing to split.
    """
    items: list[Any] = list(predictions) if isinstance(predictions, list | tuple) else [predictions]
    if not items:
        raise InputError("breakdown: an empty list, expected predictions")
    aspects = {aspect: tuple(_split(p.operators, aspect) for p in items) for aspect in ASPECTS}
    return Breakdown(heading_of(items), titles_of(items), aspects)


def _split(rows: Sequence[OperatorRow], aspect: str) -> dict[str, Number]:
    sums: dict[str, Number] = {}
    for row in rows:
        part = getattr(row, aspect)
        sums[part] = sums.get(part, 0.0) + row.runtime
    return sums


def heading_of(predictions: Sequence[Prediction]) -> tuple[str, ...]:
    """What all predictions share: a line of model, device and stack, and one of task and fields of the job."""
    model, device, stack, *fields = (_shared(values) for values in _columns(predictions))
    setup = ", ".join(part for part in (model, device, stack and f"{stack} stack") if part)
    return tuple(line for line in (setup, ", ".join(field for field in fields if field)) if line)


def titles_of(predictions: Sequence[Prediction]) -> tuple[str, ...]:
    """Short names of predictions: the model and its setting, and a number for those that share both."""
    pairs = zip((p.model.name for p in predictions), settings_of(predictions), strict=True)
    names = [" · ".join(part for part in pair if part) for pair in pairs]
    places = [names[:i].count(name) + 1 for i, name in enumerate(names)]
    return tuple(
        f"{name} ({place})" if names.count(name) > 1 else name for name, place in zip(names, places, strict=True)
    )


def settings_of(predictions: Sequence[Prediction]) -> tuple[str, ...]:
    """Device and stack as far as they differ, and what of the job differs between predictions of one model."""
    model, device, stack, *fields = _columns(predictions)
    differ = [values for values in (device, stack) if _shared(values) is None]
    differ += [values for values in fields if len(set(zip(model, values, strict=True))) > len(set(model))]
    return tuple(" · ".join(values[i] for values in differ if values[i]) for i in range(len(predictions)))


def _columns(predictions: Sequence[Prediction]) -> list[list[str]]:
    """Model, devices, stack, task, and every stated field of the job in words; one text per prediction."""
    jobs = [{name: value for name, value in p.job.describe().items() if value is not None} for p in predictions]
    names = dict.fromkeys(name for job in jobs for name in job)
    fields = [[f"{name.replace('_', ' ')} {job[name]}" if name in job else "" for job in jobs] for name in names]
    devices = [f"{p.devices} × {p.system.device.key}" if p.devices > 1 else p.system.device.key for p in predictions]
    tasks = [p.job.task for p in predictions]
    return [[p.model.name for p in predictions], devices, [p.stack.key for p in predictions], tasks, *fields]


def _shared(values: Sequence[str]) -> str | None:
    """The one value of all; None where they differ."""
    return values[0] if len(set(values)) == 1 else None
