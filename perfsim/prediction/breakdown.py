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

__all__ = ["Breakdown", "breakdown_of", "titles_of"]

ASPECTS = ("kind", "bound", "phase")
"""What the time is split by: fields of the rows of a prediction."""


@dataclass(frozen=True)
class Breakdown:
    """Runtime of predictions in parts.

    titles: one per prediction, with only what tells them apart; aspects: for each of ``kind``, ``bound`` and ``phase``
    one dict per prediction, part → runtime [s], in order of execution.
    """

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
        return {"predictions": bars}


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
    return Breakdown(titles_of(items), aspects)


def _split(rows: Sequence[OperatorRow], aspect: str) -> dict[str, Number]:
    sums: dict[str, Number] = {}
    for row in rows:
        part = getattr(row, aspect)
        sums[part] = sums.get(part, 0.0) + row.runtime
    return sums


def titles_of(predictions: Sequence[Prediction]) -> tuple[str, ...]:
    """Short names of predictions: model, device and stack as far as they differ, the model in any case."""
    rows = [
        (p.model.name, f"{p.devices} × {p.system.device.key}" if p.devices > 1 else p.system.device.key, p.stack.key)
        for p in predictions
    ]
    differ = [True, *(len({row[i] for row in rows}) > 1 for i in (1, 2))]
    names = [" · ".join(part for part, shown in zip(row, differ, strict=True) if shown) for row in rows]
    if len(set(names)) == len(names):
        return tuple(names)
    return tuple(f"{name} ({i})" for i, name in enumerate(names, 1))
