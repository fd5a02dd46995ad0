"""Inverse questions: the value of a quantity with which a prediction meets constraints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

from perfsim.errors import InputError, PerfsimError
from perfsim.prediction.prediction import Prediction
from perfsim.quantities.units import format_quantity, parse
from perfsim.sweeps.constraints import Constraint, metric_text, obstacle, read_constraints
from perfsim.sweeps.design import Design, Domain, tried_values
from perfsim.sweeps.sensitivity import effects, quantities

if TYPE_CHECKING:
    import xarray

__all__ = ["Answer", "iso", "solve"]


TIMES = ("runtime", "ttft", "tpot", "throughput", "cost", "energy", "carbon")
"""Metrics of which an answer says what else would help."""


@dataclass(frozen=True)
class Answer:
    """Where a quantity has to lie.

    quantity, unit: what was asked, in SI units; want: ``smallest`` or ``largest``; value: None if there is none;
    exact: whether the next number beyond (of machine numbers, or of whole numbers) fails or lies outside the range;
    monotone: whether the constraints hold on one run of the values that were tried, so that no other run was missed
    between them as far as was looked; prediction: at ``value``, or at the value that comes closest; obstacles: what
    stands in the way, per constraint that fails just beyond ``value``, or everywhere; searched: ends of the range.
    """

    quantity: str
    unit: str
    want: str
    value: float | None
    exact: bool
    monotone: bool
    prediction: Prediction | None
    closest: float | None
    obstacles: tuple[str, ...]
    constraints: tuple[Constraint, ...]
    searched: tuple[float, float]

    def shown(self, value: float) -> str:
        """A value of the quantity with unit."""
        return str(value) if isinstance(value, int) else format_quantity(value, parse(f"1 {self.unit}").dimension, 6)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, SI units."""
        from perfsim.sweeps.metrics import METRICS

        p = self.prediction
        reached = {c.metric: METRICS[c.metric].of(p) for c in self.constraints} if p is not None else {}
        return {
            "quantity": self.quantity, "unit": self.unit, "want": self.want, "value": self.value, "exact": self.exact,
            "monotone": self.monotone, "closest": self.closest, "obstacles": list(self.obstacles),
            "constraints": [c.text for c in self.constraints], "reached": reached, "searched": list(self.searched),
        }  # fmt: skip

    def __str__(self) -> str:
        asked = " and ".join(c.text for c in self.constraints)
        low, high = map(self.shown, self.searched)
        if self.value is None:
            where = "" if self.closest is None else f" (closest at {self.shown(self.closest)})"
            lines = [f"no {self.quantity} from {low} to {high} gives {asked}{where}"]
            return "\n".join([*lines, *(f"in the way: {text}" for text in self.obstacles)])
        lines = [f"{self.want} {self.quantity} so that {asked}: {self.shown(self.value)}"]
        if self.prediction is not None:
            lines += [f"there: {c.metric} {metric_text(self.prediction, c.metric)}" for c in self.constraints]
        if self.value in self.searched and not self.obstacles:
            lines.append(f"that is the end of the range {low} to {high}; no limit was met inside")
        if not self.monotone:
            lines.append("the constraints hold on several runs of values, not on one; this is the end of the outermost")
        return "\n".join([*lines, *(f"beyond it: {text}" for text in self.obstacles)])


def solve(
    find: str, *, so_that: str | Iterable[str], model: Any, job: Any, on: Any, want: str | None = None,
    between: tuple[Any, Any] | None = None, **request: Any,
) -> Answer:  # fmt: skip
    """The smallest or largest value of a quantity with which all constraints hold.

    find: a field of the job, ``count``, a what-if path, or ``using.TECHNIQUE.PARAMETER``; so_that: e.g.
    ``"tpot <= 20 ms and fits"``, or a list; want: ``"smallest"`` or ``"largest"``, by default the one that the
    constraints bound: the largest where they hold at the low end and fail at the high one, or hold at both and leave
    less room at the high one, else the smallest; values that are refused do not count; between: ends of the range;
    model, job, on, count, stack, using, what_if, region, pue, offer: as in :func:`perfsim.predict`.

    Ranges of up to 256 whole numbers are tried one by one. Others are tried at 49 values, then the end of the run of
    values is closed in on until the next number fails: for a metric that is monotone there, as piecewise linear ones
    are, that is exact.

    Raises
    ------
    PerfsimError
        for unknown names, wrong units, or a range that is none. Without an answer there is no error:
        :attr:`Answer.value` is None.
    """
    if want not in (None, "smallest", "largest"):
        raise InputError(f'want="{want}": expected smallest or largest')
    design = Design(model, job, on, **request)
    domain, constraints = design.domain(find, between), read_constraints(so_that)
    answer = _Search(lambda value: design.at({find: value}), find, domain, constraints).answer(want)
    return (
        answer
        if answer.value is not None
        else replace(answer, obstacles=(*answer.obstacles, *_helpers(answer, design)))
    )


def _helpers(answer: Answer, design: Design) -> Iterator[str]:
    """Per constraint that fails at the closest value: which other quantity changes its metric most there."""
    p, find = answer.prediction, answer.quantity
    if p is None or answer.closest is None:
        return
    own = f"device.{design.profiles[0].resolve(find.removeprefix('device.'))}"
    others = [path for path in quantities(design) if path not in (find, own)]
    for c in answer.constraints:
        if c.metric in TIMES and not c.holds(p):
            for e in effects(design, {find: answer.closest}, c.metric, others)[:1]:
                yield f"{e.quantity}: 1 % more of it changes {c.metric} by {e.value:+.2f} % there, more than any other"


class _Search:
    """Predictions along one quantity."""

    def __init__(
        self, predicted: Callable[[float], Prediction], find: str, domain: Domain, constraints: tuple[Constraint, ...]
    ) -> None:
        self._predicted, self._find, self._domain, self._constraints = predicted, find, domain, constraints
        self._refusals: list[str] = []

    def at(self, value: float) -> Prediction | None:
        try:
            return self._predicted(value)
        except PerfsimError as refusal:
            self._refusals.append(str(refusal))
            return None

    def holds(self, value: float) -> bool:
        return self._met(self.at(value))

    def _met(self, p: Prediction | None) -> bool:
        return p is not None and all(c.holds(p) for c in self._constraints)

    def _bounded(self, first: Prediction, last: Prediction) -> str:
        """Which end of the range the constraints bound: where they fail, else where they leave the least room."""
        if not (self._met(first) and self._met(last)):
            return "largest" if self._met(first) else "smallest"
        low, high = (min(c.slack(p) for c in self._constraints) for p in (first, last))
        return "largest" if high < low else "smallest"

    def answer(self, want: str | None) -> Answer:
        values = tried_values(self._domain)
        found = [self.at(v) for v in values]
        truths = [self._met(p) for p in found]
        if not any(truths):
            return self._none(values, want or "smallest")
        there = [p for p in found if p is not None]  # what is refused says nothing about the constraints
        want = want or self._bounded(there[0], there[-1])
        inside = truths.index(True) if want == "smallest" else len(truths) - 1 - truths[::-1].index(True)
        outside = inside - 1 if want == "smallest" else inside + 1
        known = [False, *map(self._met, there), False]
        runs = sum(a != b for a, b in pairwise(known))
        value, beyond = values[inside], None
        if 0 <= outside < len(values):
            value, beyond = self._closed_in(values[inside], values[outside])
        outer = values[:inside][::-1] if want == "smallest" else values[inside + 1 :]
        obstacles = () if beyond is None else self._obstacles(next(filter(self._is_short, (beyond, *outer)), beyond))
        ends = (self._domain.low, self._domain.high)
        return Answer(
            self._find, self._domain.unit, want, value, True, runs <= 2, self.at(value), None, obstacles,
            self._constraints, ends,
        )  # fmt: skip

    def _closed_in(self, inside: float, outside: float) -> tuple[float, float]:
        """Neighbours of which the first holds and the second does not."""
        while True:
            middle = (inside + outside) // 2 if self._domain.whole else (inside + outside) / 2
            if middle in (inside, outside):
                return inside, outside
            inside, outside = (middle, outside) if self.holds(middle) else (inside, middle)

    def _is_short(self, value: float) -> bool:
        """Whether there is a prediction, and a constraint fails."""
        return self.at(value) is not None and not self.holds(value)

    def _obstacles(self, value: float) -> tuple[str, ...]:
        p = self.at(value)
        if p is None:
            return (self._refusals[-1],)
        return tuple(obstacle(c, p) for c in self._constraints if not c.holds(p))

    def _none(self, values: Sequence[float], want: str) -> Answer:
        def short(value: float) -> tuple[int, float]:
            p = self.at(value)
            found = [c.shortfall(p) for c in self._constraints] if p is not None else []
            return (sum(s > 0 for s in found), max(found)) if found else (len(self._constraints) + 1, 0.0)

        closest = min(values, key=short)
        ends = (self._domain.low, self._domain.high)
        p = self.at(closest)
        return Answer(
            self._find, self._domain.unit, want, None, True, True, p, None if p is None else closest,
            self._obstacles(closest), self._constraints, ends,
        )  # fmt: skip


def iso(
    find: str, *, so_that: str | Iterable[str], along: Mapping[str, Iterable[Any]], **request: Any
) -> xarray.Dataset:
    """Curves of equal latency, cost or any other metric: the answer of :func:`solve` over a grid of other quantities.

    along: quantities → values, e.g. ``{"batch": [1, 8, 64]}``. Returns a dataset over these with the variable
    ``find``, NaN where there is no answer, and ``obstacle``, the text of what stands in the way.

    Raises
    ------
    PerfsimError
        as :func:`solve`.
    """
    import numpy as np
    import xarray

    columns = {name: list(values) for name, values in along.items()}
    sizes = tuple(map(len, columns.values()))
    found, texts = np.full(sizes, np.nan), np.full(sizes, "", dtype=object)
    unit, options = "1", {k: request.pop(k) for k in ("want", "between") if k in request}
    design, constraints = Design(**request), read_constraints(so_that)
    for index in product(*map(range, sizes)):
        changes = {name: values[i] for (name, values), i in zip(columns.items(), index, strict=True)}
        domain = design.domain(find, options.get("between"))
        answer = _Search(partial(_at, design, changes, find), find, domain, constraints).answer(options.get("want"))
        found[index] = np.nan if answer.value is None else answer.value
        texts[index], unit = "; ".join(answer.obstacles), answer.unit
    dims = tuple(columns)
    variables = {find: (dims, found, {"units": unit}), "obstacle": (dims, texts)}
    return xarray.Dataset(variables, columns, {"so_that": " and ".join(c.text for c in constraints)})


def _at(design: Design, changes: Mapping[str, Any], find: str, value: float) -> Prediction:
    return design.at({**changes, find: value})
