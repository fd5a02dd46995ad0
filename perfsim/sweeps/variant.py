"""One structural variant of a sweep: recorded once for each course that Python takes through it.

Model, device, stack, techniques and layout make a variant; the numbers of the job and the what-ifs are the leaves of
its recordings. Where a decision depends on the numbers, the points are divided by its answer; where a number itself is
needed, by its value. The first and the last point of every course are compared with :func:`perfsim.predict`; a
course that differs, or cannot be recorded, is predicted point by point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import isclose, isnan
from typing import Any, TypeAlias

import numpy as np

from perfsim.errors import PerfsimError
from perfsim.prediction.predict import predict
from perfsim.prediction.prediction import Prediction
from perfsim.quantities.numbers import Number
from perfsim.quantities.recorder import NeedsNumberError, Node, Tape, UndecidedError
from perfsim.sweeps.metrics import METRICS
from perfsim.sweeps.program import Box, Program
from perfsim.sweeps.steps import without_steps
from perfsim.workloads import Job

__all__ = ["Leaf", "Result", "Variant", "assembled"]

Result: TypeAlias = dict[str, Any]
"""Arrays by metric; each has one row along the dimensions on which it does not depend."""

Evaluator: TypeAlias = Callable[[Program, Box], Result]

SAME = 1e-9
"""Largest relative difference between a program and a prediction that counts as rounding."""


@dataclass(frozen=True)
class Leaf:
    """A recorded number: the range of its values over the sweep, and whether it is a field of the job."""

    low: float
    high: float
    of_job: bool


@dataclass(frozen=True, eq=False)
class _Course:
    """One course through the formulas, as recorded."""

    outputs: Mapping[str, Number]

    @cached_property
    def closed(self) -> Program:
        """With sums over steps in closed form; ``valid`` tells where these hold."""
        lowered = without_steps(self.outputs)
        return Program({**lowered.outputs, "valid": lowered.valid})

    @cached_property
    def looped(self) -> Program:
        """With sums that visit every step."""
        return Program(without_steps(self.outputs, closed=False).outputs)

    def run(self, box: Box, run: Evaluator) -> Result:
        """Metrics over a box."""
        result = run(self.closed, box)
        valid = result.pop("valid")
        if not np.all(valid):
            result = self._repaired(result, ~np.broadcast_to(valid, box.sizes), box)
        return {**result, "refused": np.full((1,) * len(box.sizes), False)}

    def _repaired(self, result: Result, bad: Any, box: Box) -> Result:
        """``result`` with the points of ``bad`` evaluated step by step."""
        rows = np.nonzero(bad)
        columns = {n: (d, v) if d < 0 else (0, np.asarray(v)[rows[d]]) for n, (d, v) in box.columns.items()}
        other = self.looped.evaluate(Box((len(rows[0]),), columns))
        whole = {name: np.array(np.broadcast_to(value, box.sizes)) for name, value in result.items()}
        for name, value in whole.items():
            value[rows] = other[name]
        return whole


class _PointByPoint:
    """No recording stands for this course."""


_Outcome: TypeAlias = "_Course | _PointByPoint | PerfsimError | UndecidedError | NeedsNumberError"


@dataclass(eq=False)
class Variant:
    """Everything of a sweep but its numbers.

    request: keyword arguments of :func:`perfsim.predict`; leaves: what is recorded, by name of the job's field or
    what-if path; metrics: what is asked.
    """

    request: Mapping[str, Any]
    job: Job
    leaves: Mapping[str, Leaf]
    metrics: tuple[str, ...]
    refusals: set[str] = field(default_factory=set)
    point_by_point: int = 0
    _outcomes: dict[Any, _Outcome] = field(default_factory=dict)

    def evaluate(self, box: Box, run: Evaluator) -> Result:
        """Metrics over all points of ``box``; ``run`` evaluates programs. Refused points are NaN."""
        return self._solve(box, run, {}, {})

    def _solve(self, box: Box, run: Evaluator, pins: dict[str, Number], answers: dict[bytes, bool]) -> Result:
        key = (tuple(sorted(pins.items())), frozenset(answers.items()))
        if key not in self._outcomes:
            self._outcomes[key] = self._checked(self._recorded(pins, answers), box, run, pins)
        outcome = self._outcomes[key]
        if isinstance(outcome, _Course):
            return outcome.run(box, run)
        if isinstance(outcome, UndecidedError):
            return self._divided(outcome.condition, box, run, pins, answers)
        if isinstance(outcome, NeedsNumberError):
            return self._pinned(outcome.leaves - set(pins), box, run, pins, answers)
        if isinstance(outcome, PerfsimError):
            return self._refused(outcome)
        return self._one_by_one(box, pins)

    def predict(self, numbers: Mapping[str, Number]) -> Prediction:
        """The prediction at ``numbers``, plain or recorded ones.

        Raises
        ------
        PerfsimError
            as :func:`perfsim.predict`.
        """
        job = {name: value for name, value in numbers.items() if self.leaves[name].of_job}
        changes = {name: value for name, value in numbers.items() if name not in job}
        what_if = {**self.request.get("what_if", {}), **changes}
        return predict(job=self.job.replace(**job), **{**self.request, "what_if": what_if})

    def _numbers(self, box: Box, index: tuple[int, ...]) -> dict[str, Number]:
        """Plain numbers of one point of a box."""
        return {
            name: _plain(values[index[d] if d >= 0 else 0], self.leaves[name].of_job)
            for name, (d, values) in box.columns.items()
        }

    def _values(self, p: Prediction) -> dict[str, Number]:
        found = {name: METRICS[name].of(p) for name in self.metrics}
        return {name: float("nan") if value is None else value for name, value in found.items()}

    def _recorded(self, pins: Mapping[str, Number], answers: Mapping[bytes, bool]) -> _Outcome:
        tape = Tape(answers)
        leaves = {n: tape.leaf(n, leaf.low, leaf.high, leaf.of_job) for n, leaf in self.leaves.items()}
        try:
            outputs = self._values(self.predict({**leaves, **pins}))
            return _Course(outputs)
        except (PerfsimError, UndecidedError, NeedsNumberError) as outcome:
            return outcome
        except Exception:  # noqa: BLE001 - whatever looks at its numbers in a way that the recorder does not know
            return _PointByPoint()  # a mistake of the formulas themselves then shows in the predictions

    def _checked(self, outcome: _Outcome, box: Box, run: Evaluator, pins: Mapping[str, Number]) -> _Outcome:
        """``outcome`` if it says of the first and last point what the prediction says, else point by point."""
        if isinstance(outcome, UndecidedError | NeedsNumberError | _PointByPoint):
            return outcome
        for row in (0, -1):
            corner = box
            for dimension in range(len(box.sizes)):
                corner = corner.select(dimension, np.arange(box.sizes[dimension])[[row]])
            try:
                numbers = self._numbers(corner, (0,) * len(box.sizes))
                expected: dict[str, Number] | None = self._values(self.predict({**numbers, **pins}))
            except PerfsimError:
                expected = None
            if isinstance(outcome, PerfsimError):
                if expected is not None:
                    return _PointByPoint()
            elif expected is None or not _agree(outcome.run(corner, run), expected):
                return _PointByPoint()
        return outcome

    def _divided(
        self, condition: Node, box: Box, run: Evaluator, pins: dict[str, Number], answers: dict[bytes, bool]
    ) -> Result:
        """Points by the answer to a condition."""
        truth = _Course({"it": condition}).run(box, run)["it"].astype(bool)
        if truth.all() or not truth.any():
            return self._solve(box, run, pins, {**answers, condition.digest: bool(truth.flat[0])})
        patterns = (_patterns(truth, d) for d, n in enumerate(truth.shape) if n > 1)
        along, group = next(found for found in patterns if found[1].any())
        pieces = []
        for label in range(int(group.max()) + 1):
            chosen = np.flatnonzero(group == label)
            part = box.select(along, chosen)
            pieces.append(({along: chosen}, self._divided(condition, part, run, pins, answers)))
        return assembled(box.sizes, pieces)

    def _pinned(
        self, names: Iterable[str], box: Box, run: Evaluator, pins: dict[str, Number], answers: dict[bytes, bool]
    ) -> Result:
        """Points by the value of the first of ``names``."""
        ordered = sorted(names)
        if not ordered:
            return self._one_by_one(box, pins)
        name = ordered[0]
        dimension, values = box.columns[name]
        whole = self.leaves[name].of_job
        if dimension < 0:
            return self._solve(box, run, {**pins, name: _plain(values[0], whole)}, answers)
        pieces = []
        for value in np.unique(values):
            rows = np.flatnonzero(np.asarray(values) == value)
            part = box.select(dimension, rows)
            pieces.append(({dimension: rows}, self._solve(part, run, {**pins, name: _plain(value, whole)}, answers)))
        return assembled(box.sizes, pieces)

    def _refused(self, error: PerfsimError) -> Result:
        self.refusals.add(str(error))
        result: Result = {name: np.full((), np.nan) for name in self.metrics}
        if "fits" in result:
            result["fits"] = np.full((), False)
        return {**result, "refused": np.full((), True)}

    def _one_by_one(self, box: Box, pins: Mapping[str, Number]) -> Result:
        kinds = {name: bool if name in ("fits", "refused") else float for name in (*self.metrics, "refused")}
        result: Result = {name: np.full(box.sizes, np.nan).astype(kind) for name, kind in kinds.items()}
        for index in product(*(range(n) for n in box.sizes)):
            try:
                values = self._values(self.predict({**self._numbers(box, index), **pins}))
            except PerfsimError as error:
                values = {name: value[()] for name, value in self._refused(error).items()}
            for name, value in {"refused": False, **values}.items():
                result[name][index] = value
            self.point_by_point += 1
        return result


def _plain(value: Any, whole: bool) -> Number:
    return int(value) if whole else float(value)


def _patterns(truth: Any, along: int) -> tuple[int, Any]:
    """A dimension, and for each of its rows the number of the pattern that ``truth`` has there."""
    rows = np.moveaxis(truth, along, 0).reshape(truth.shape[along], -1)
    _, group = np.unique(rows, axis=0, return_inverse=True)
    return along, group.ravel()


def _agree(result: Result, expected: Mapping[str, Number]) -> bool:
    for name, value in expected.items():
        got, wanted = float(result[name].flat[0]), float(value)
        if not (isclose(got, wanted, rel_tol=SAME) or (isnan(got) and isnan(wanted))):
            return False
    return True


def assembled(sizes: tuple[int, ...], pieces: Sequence[tuple[Mapping[int, Any], Result]]) -> Result:
    """One result of several: each piece has the rows of some dimensions that its key names, and all of the others."""
    if len(pieces) == 1:
        return pieces[0][1]
    result: Result = {}
    divided = {dimension for rows, _ in pieces for dimension in rows}
    for name in pieces[0][1]:
        values = [np.asarray(piece[name]) for _, piece in pieces]
        values = [v.reshape((1,) * len(sizes)) if v.ndim == 0 else v for v in values]
        shape = tuple(n if d in divided or any(v.shape[d] > 1 for v in values) else 1 for d, n in enumerate(sizes))
        whole = np.empty(shape, dtype=np.result_type(*values))
        for (rows, _), value in zip(pieces, values, strict=True):
            target = tuple(rows.get(d, slice(None)) for d in range(len(sizes)))
            whole[_indices(target, shape)] = value
        result[name] = whole
    return result


def _indices(target: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    chosen = [d for d, rows in enumerate(target) if not isinstance(rows, slice)]
    if len(chosen) <= 1:
        return target
    return np.ix_(*(np.arange(n) if isinstance(rows, slice) else rows for rows, n in zip(target, shape, strict=True)))
