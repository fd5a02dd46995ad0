"""From which batch or length on a kernel has another bound: its real cost is evaluated over many values at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy

from perfsim.costs.kernel import kernel_cost
from perfsim.costs.lowering import Kernel
from perfsim.graph import Operator
from perfsim.prediction.symbolic import Formula, PhaseFormulas
from perfsim.quantities.numbers import ceil_div, maximum, minimum

if TYPE_CHECKING:
    from perfsim.prediction.prediction import Prediction

__all__ = ["moves"]

GRID = np.unique(np.round(2.0 ** np.arange(0, 24.25, 0.25)))
"""Values that are tried first: 1 to 2^24, four per doubling."""

_OPTIONS = {"B": "batch", "P": "prompt", "C": "context"}
_CARRIERS = {"Max": maximum, "Min": minimum, "ceiling": lambda value: ceil_div(value, 1)}


def moves(p: Prediction, formula: Formula, symbols: PhaseFormulas, step: int, bound: str) -> str:
    """Text on the nearest batch at which a kernel's bound is not ``bound``; on a length where no batch does it."""
    for name, option in _OPTIONS.items():
        if name in symbols.values:
            found = list(_nearest(p, formula, symbols, step, bound, name))
            if found:
                return " and ".join(f"{other}-bound {side} {option} of about {at}" for other, side, at in found)
    return "no batch and no length alone changes it"


def _nearest(
    p: Prediction, formula: Formula, symbols: PhaseFormulas, step: int, bound: str, name: str
) -> Iterator[tuple[str, str, int]]:
    """The other bounds below and above the present value of a symbol, and where they begin."""
    at = symbols.at(step)
    present = next(float(value) for symbol, value in at.items() if symbol.name == name)
    others = {symbol: value for symbol, value in at.items() if symbol.name != name}
    symbol = next(s for s in at if s.name == name)

    def bounds(values: Any) -> list[str]:
        return _bounds(p, formula, others, symbol, values)

    lower, upper = (GRID[np.less(GRID, present)][::-1], GRID[np.greater(GRID, present)])
    for side, grid in (("below", lower), ("from", upper)):
        labels = bounds(grid) if grid.size else []
        index = next((i for i, label in enumerate(labels) if label != bound), None)
        if index is not None:
            before = grid[index - 1] if index else present
            inside = np.unique(np.round(np.linspace(before, grid[index], 257)))
            ordered = inside[::-1] if side == "below" else inside
            fine = bounds(ordered)
            first = next(i for i, label in enumerate(fine) if label != bound)
            yield fine[first], side, int(ordered[first]) + (1 if side == "below" else 0)


def _bounds(
    p: Prediction, formula: Formula, others: dict[sympy.Symbol, Any], symbol: sympy.Symbol, values: Any
) -> list[str]:
    """Bound of a kernel for each of ``values`` of ``symbol``."""
    expression = _with_numbers(others, symbol, values)
    kernel = formula.kernel
    changed = {op.name: _numeric(op, expression) for op in kernel.operators}
    edges = [tuple((changed[op.name], name) for op, name in side) for side in (kernel.reads, kernel.writes)]
    used = {name for op in kernel.operators for name in (*op.inputs, *op.outputs)}
    tensors = {
        name: t.replace(shape=tuple(expression(n) for n in t.shape)) if name in used else t
        for name, t in formula.graph.tensors.items()
    }
    graph = replace(formula.graph, tensors=tensors)
    cost = kernel_cost(Kernel(tuple(changed.values()), edges[0], edges[1], kernel.tiling), graph, p.system, p.stack)
    times = {
        "compute": cost.compute,
        "memory": cost.memory,
        "network": cost.network,
        "overhead": cost.launch + cost.chain,
    }
    table = np.stack([np.broadcast_to(np.asarray(time, dtype=float), values.shape) for time in times.values()])
    return [list(times)[index] for index in table.argmax(axis=0)]


def _numeric(op: Operator, expression: Callable[[Any], Any]) -> Operator:
    symbolic = {f.name: getattr(op, f.name) for f in fields(op) if isinstance(getattr(op, f.name), sympy.Basic)}
    return replace(op, **{name: expression(value) for name, value in symbolic.items()}) if symbolic else op


def _with_numbers(others: dict[sympy.Symbol, Any], symbol: sympy.Symbol, values: Any) -> Callable[[Any], Any]:
    """A function that puts the numbers into an expression; plain numbers pass through."""
    present = tuple(others.items())
    return lambda value: _function(value, symbol, present)(values) if isinstance(value, sympy.Basic) else value


@lru_cache(maxsize=4096)
def _function(expression: sympy.Expr, symbol: sympy.Symbol, others: tuple[tuple[sympy.Symbol, Any], ...]) -> Any:
    return sympy.lambdify([symbol], expression.subs(dict(others)), modules=[_CARRIERS, "numpy"])
