"""The best points of a sweep, or its Pareto front, kept while the parts go by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perfsim.errors import UnknownNameError
from perfsim.sweeps.metrics import METRICS
from perfsim.sweeps.pareto import front, senses
from perfsim.sweeps.stream import table_of

if TYPE_CHECKING:
    from perfsim.sweeps.sweep import Sweep
    from perfsim.sweeps.variant import Result

__all__ = ["Ranking"]


class Ranking:
    """Rows that count, out of all parts added so far.

    objectives: one metric for a ranking, several for a Pareto front; limit: rows of a ranking. Points that do not fit
    are left out, unless none fits. fitting, refused: how many points did, last: points of the last part [1].
    """

    def __init__(self, plan: Sweep, objectives: tuple[str, ...], limit: int) -> None:
        for name in objectives:
            if name not in METRICS:
                raise UnknownNameError("metric", name, METRICS)
        self._plan, self.objectives, self._limit = plan, objectives, limit
        self.fitting = self.refused = self.last = 0
        self._kept: Any = None
        self._unfit: Any = None

    def add(self, part: Sequence[slice], result: Result) -> None:
        """Take the rows of a part that may count."""
        import numpy as np

        sizes = tuple(s.stop - s.start for s in part)
        fits = np.ravel(np.broadcast_to(result["fits"], sizes))
        self.last = len(fits)
        self.fitting += int(fits.sum())
        self.refused += int(np.broadcast_to(result["refused"], sizes).sum())
        columns = [np.ravel(np.broadcast_to(result[name], sizes)) for name in self.objectives]
        values = np.stack(columns, axis=1) * np.array(senses(self.objectives), dtype=float)
        if fits.any():
            chosen = self._chosen(np.where(fits[:, None], values, np.nan))
            self._kept = self._joined(self._kept, values[chosen], self._rows(part, result, chosen))
        elif self._kept is None:
            chosen = self._chosen(values)
            self._unfit = self._joined(self._unfit, values[chosen], self._rows(part, result, chosen))

    def _rows(self, part: Sequence[slice], result: Result, chosen: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = table_of(self._plan, part, result, chosen).to_pylist()
        return rows

    def _chosen(self, values: Any) -> Any:
        import numpy as np

        if len(self.objectives) > 1:
            return np.flatnonzero(front(values))
        known = np.flatnonzero(~np.isnan(values[:, 0]))
        return known[np.argsort(values[known, 0], kind="stable")[: self._limit]]

    def _joined(self, kept: Any, values: Any, rows: list[dict[str, Any]]) -> Any:
        import numpy as np

        if kept is not None:
            values, rows = np.concatenate([kept[0], values]), [*kept[1], *rows]
        chosen = self._chosen(values)
        return values[chosen], [rows[i] for i in chosen]

    def rows(self) -> list[dict[str, Any]]:
        """The rows that count: axes and metrics, None for what is not known; sorted by the first objective."""
        import numpy as np

        kept = self._kept if self._kept is not None else self._unfit
        if kept is None:
            return []
        return [kept[1][i] for i in np.argsort(kept[0][:, 0], kind="stable")]
