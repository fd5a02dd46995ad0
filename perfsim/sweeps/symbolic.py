"""Metrics as formulas: a prediction is recorded with symbols in place of some numbers, and written out with sympy.

The formula holds within the ranges of the symbols; the narrower these are, the shorter it is, because the larger side
of a maximum is known. It is the very arithmetic of the prediction, so both give equal numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import sympy

from perfsim.errors import InputError, UnknownNameError
from perfsim.prediction.prediction import Prediction
from perfsim.quantities.numbers import Number
from perfsim.quantities.recorder import NeedsNumberError, Node, Tape, UndecidedError
from perfsim.sweeps.design import Design
from perfsim.sweeps.expressions import Writer
from perfsim.sweeps.metrics import METRICS
from perfsim.sweeps.program import Box, Program
from perfsim.sweeps.steps import reachable, without_steps
from perfsim.sweeps.sweep import RECORDED

__all__ = ["Symbolic", "symbolic"]

AROUND = 4
"""Symbols range from a quarter to four times their present value unless told otherwise."""

LARGEST = 800
"""Expressions of the largest formula for whole ranges that is written out; larger ones take sympy minutes."""

_IT, _IF, _TIME = "it", "if", "time"
"""Names of recorded expressions."""

_LETTERS: Mapping[str, str] = {"batch": "B", "prompt_tokens": "P", "output_tokens": "O", "context_length": "C"}


@dataclass(frozen=True, eq=False)
class Symbolic:
    """A metric as a formula.

    metric; symbols: quantity → symbol; present: its present value in SI units; ranges: where the formula holds;
    conditions: what else has to hold, as decided at the present values; output, parts: recorded expressions of the
    metric, and of compute, memory and network times per phase and kernel.
    """

    metric: str
    symbols: Mapping[str, sympy.Symbol]
    present: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]
    output: Number
    parts: Mapping[tuple[str, str], Mapping[str, Number]]
    decided: tuple[tuple[Number, bool], ...]
    fixed: Mapping[str, float]

    @cached_property
    def _whole(self) -> Writer:
        return Writer(self.symbols, {**self.fixed, **self.present}, piece=False)

    @cached_property
    def _local(self) -> Writer:
        return Writer(self.symbols, {**self.fixed, **self.present}, piece=True)

    @cached_property
    def expression(self) -> sympy.Expr:
        """The metric in SI units, for all values in the ranges.

        Raises
        ------
        InputError
            if it is so large that nobody would read it; :attr:`piece` is there in any case.
        """
        size = len(reachable([self.output]))
        if size > LARGEST:
            raise InputError(
                f"{self.metric}: the formula for the whole ranges has {size} expressions, at most {LARGEST} are "
                f"written; take narrower ranges or fewer symbols, or the piece around the present values"
            )
        return self._whole.written(self.output)

    @cached_property
    def piece(self) -> sympy.Expr:
        """The metric around the present values: of each maximum only the side that is larger there."""
        return self._local.written(self.output)

    @cached_property
    def conditions(self) -> tuple[sympy.Basic, ...]:
        """What the formula takes as given."""
        return tuple(
            self._whole.written(c) if answer else sympy.Not(self._whole.written(c)) for c, answer in self.decided
        )

    @cached_property
    def _function(self) -> Any:
        carriers = {"Max": np.maximum, "Min": np.minimum, "ceiling": np.ceil}
        arguments = list(self.symbols.values())
        return sympy.lambdify(arguments, self.expression, modules=[carriers, "numpy"], cse=True)

    def at(self, values: Mapping[str, Any] | None = None) -> Any:
        """The metric at some values, numbers or arrays; at the present ones where none is given.

        Raises
        ------
        UnknownNameError, InputError
            for a quantity that is no symbol here, or values outside the range.
        """
        given = {**self.present, **(values or {})}
        for name, value in given.items():
            if name not in self.symbols:
                raise UnknownNameError("symbol", name, self.symbols)
            low, high = self.ranges[name]
            if not (np.all(np.less_equal(low, value)) and np.all(np.less_equal(value, high))):
                raise InputError(f"{name}: {value} lies outside {low:g} to {high:g}, where the formula holds")
        return self._function(*(np.asarray(given[name], dtype=float)[()] for name in self.symbols))

    def derivative(self, name: str) -> sympy.Expr:
        """Derivative of the metric by a quantity around the present values."""
        return sympy.diff(self.piece, self._symbol(name))

    def elasticity(self, name: str) -> sympy.Expr:
        """Elasticity, d log metric / d log quantity, around the present values."""
        return self._symbol(name) * self.derivative(name) / self.piece

    def number(self, expression: sympy.Expr) -> float:
        """An expression in the symbols at the present values."""
        return float(expression.subs({self.symbols[name]: value for name, value in self.present.items()}))

    def _symbol(self, name: str) -> sympy.Symbol:
        if name not in self.symbols:
            raise UnknownNameError("symbol", name, self.symbols)
        return self.symbols[name]

    def ridges(self, name: str) -> dict[tuple[str, str], sympy.Expr]:
        """Phase and kernel → the value of a quantity at which computing and moving take equally long.

        The other symbols stay symbols. Kernels without such a value, as seen from the present values, are left out.
        """
        symbol = self._symbol(name)
        found = {}
        for place, times in self.parts.items():
            gap = self._local.written(times["compute"]) - self._local.written(times["memory"])
            if symbol in gap.free_symbols:
                roots = sympy.solve(sympy.together(gap), symbol)
                positive = [root for root in roots if root.is_real is not False and self.number(root) > 0]
                if len(positive) == 1:
                    found[place] = positive[0]
        return found

    def latex(self, piece: bool = True) -> str:
        """The formula for LaTeX; piece: around the present values, else for the whole ranges."""
        chosen = self.piece if piece else self.expression
        names = {symbol: _tex(symbol.name) for symbol in self.symbols.values()}
        return f"{_tex(self.metric)} = {sympy.latex(sympy.N(chosen, 6), symbol_names=names)}"


def _tex(name: str) -> str:
    first, _, rest = name.partition("_")
    text = first if len(first) == 1 else rf"\mathrm{{{first}}}"
    index = rest.replace("_", r"\_")
    return rf"{text}_{{\mathrm{{{index}}}}}" if rest else text


def symbolic(
    metric: str, *, model: Any, job: Any, on: Any, symbols: Mapping[str, tuple[float, float] | None] | list[str],
    **request: Any,
) -> Symbolic:  # fmt: skip
    """A metric of a prediction as a formula in some of its quantities.

    metric: a name of :data:`perfsim.sweeps.METRICS`; symbols: fields of the job (``batch``) and what-if paths, with
    the range in which the formula has to hold in SI units, or None or a list of names for a quarter to four times the
    present value; model, job, on ...: as in :func:`perfsim.predict`.

    Raises
    ------
    PerfsimError
        for unknown names, for quantities that make another plan with every value, and for formulas that are too large
        to be of use.
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    design = Design(model, job, on, **request)
    wanted = dict(symbols) if isinstance(symbols, Mapping) else dict.fromkeys(symbols)
    present = {name: design.value(name) for name in wanted}
    ranges = {name: _range(name, present[name], wanted[name]) for name in wanted}
    fixed = {
        f.name: getattr(job, f.name) for f in fields(job) if f.name in RECORDED and f.name not in wanted
    }  # fmt: skip
    outputs, decided = _recorded(design, metric, present, ranges, fixed)
    conditions = {f"{_IF}{i}": condition for i, (condition, _) in enumerate(decided)}
    lowered = without_steps({**outputs, **conditions})
    if lowered.looped:
        raise InputError(f"{metric}: its sum over the steps has no closed form here; take a Decode of one step instead")
    numbers = lowered.outputs
    parts: dict[tuple[str, str], dict[str, Number]] = {}
    for key, value in numbers.items():
        if key.startswith(_TIME):
            _, phase, kernel, kind = key.split("\n")
            parts.setdefault((phase, kernel), {})[kind] = value
    known = tuple((numbers[f"{_IF}{i}"], answer) for i, (_, answer) in enumerate(decided))
    if isinstance(lowered.valid, Node):
        known = (*known, (lowered.valid, True))
    return Symbolic(metric, _symbols(wanted), present, ranges, numbers[_IT], parts, known, fixed)


def _range(name: str, value: float, stated: tuple[float, float] | None) -> tuple[float, float]:
    if not (name in RECORDED or name.startswith(("device.", "stack.", "link."))):
        raise InputError(
            f"{name} makes another plan with every value; symbols are {', '.join(RECORDED)} and what-if paths"
        )
    low, high = stated or (value / AROUND, value * AROUND)
    if name in RECORDED and stated is None:
        low, high = max(1, int(low)), int(high)
    if not low <= value <= high:
        raise InputError(
            f"{name}: its present value {value:g} lies outside {low:g} to {high:g}; state a range around it"
        )
    return float(low), float(high)


def _symbols(names: Mapping[str, Any]) -> dict[str, sympy.Symbol]:
    found = {}
    for name in names:
        parts = name.split(".")
        text = _LETTERS.get(name, "_".join([parts[-1], *parts[-2:-1]]) if len(parts) > 2 else parts[-1])
        found[name] = sympy.Symbol(text, positive=True)
    if len(set(found.values())) < len(found):
        found = {name: sympy.Symbol(name.replace(".", "_"), positive=True) for name in names}
    return found


def _recorded(
    design: Design, metric: str, present: Mapping[str, float], ranges: Mapping[str, tuple[float, float]],
    fixed: Mapping[str, float],
) -> tuple[dict[str, Number], list[tuple[Number, bool]]]:  # fmt: skip
    """The metric, the times of the kernels, and the decisions taken at the present values."""
    decided: list[tuple[Number, bool]] = []
    spans = {**{name: (value, value) for name, value in fixed.items()}, **ranges}
    box = Box((1,), {name: (-1, np.array([value])) for name, value in {**fixed, **present}.items()})
    answers: dict[bytes, bool] = {}
    while True:
        tape = Tape(answers)
        leaves = {n: tape.leaf(n, low, high, n in RECORDED) for n, (low, high) in spans.items()}
        try:
            p = design.at(leaves)
            value = METRICS[metric].of(p)
            if value is None:
                raise InputError(f"{metric} is not known for this job and device; ask another metric")
            return {_IT: value, **_times(p)}, decided
        except UndecidedError as question:
            condition = question.condition
            lowered = without_steps({"it": condition}, closed=False)
            answer = bool(Program(lowered.outputs).evaluate(box)["it"].flat[0])
            answers[condition.digest] = answer
            decided.append((condition, answer))
        except NeedsNumberError as need:
            names = ", ".join(sorted(need.leaves))
            raise InputError(f"{metric}: {names} must be a number here, not a symbol; leave it out") from None


def _times(p: Prediction) -> dict[str, Number]:
    return {
        "\n".join((_TIME, phase.name, cost.name, kind)): phase.over_job(getattr(cost, kind) * count)
        for phase in p.costs for cost, count in phase.kernels for kind in ("compute", "memory", "network", "runtime")
    }  # fmt: skip
