"""Recorded expressions written out with sympy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import sympy

from perfsim.quantities.numbers import Number
from perfsim.quantities.recorder import CONDITIONS, Node
from perfsim.sweeps.program import FUNCTIONS
from perfsim.sweeps.steps import reachable

__all__ = ["Writer"]


def _choice(condition: Any, yes: Any, no: Any) -> Any:
    if yes in (sympy.true, sympy.false) or isinstance(yes, sympy.logic.boolalg.Boolean):
        return sympy.ITE(condition, yes, no)
    return sympy.Piecewise((yes, condition), (no, True))


_WRITTEN: Mapping[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b,
    "floordiv": lambda a, b: sympy.floor(a / b), "mod": sympy.Mod, "pow": lambda a, b: a**b,
    "max": lambda a, b: sympy.Max(a, b, evaluate=False), "min": lambda a, b: sympy.Min(a, b, evaluate=False),
    "ceil": sympy.ceiling, "round": lambda a: sympy.floor(a + sympy.Rational(1, 2)), "lt": sympy.Lt, "le": sympy.Le,
    "eq": sympy.Eq, "ne": sympy.Ne, "or": sympy.Or, "and": sympy.And, "not": sympy.Not,
    "where": _choice,
}  # fmt: skip

_STEPPED = frozenset({"ceil", "round", "floordiv", "mod", *CONDITIONS})
"""Operations whose value stays the same for small changes."""


class Writer:
    """Writes expressions in symbols. Leaves without one are numbers.

    piece: whether of each maximum, minimum and choice only the side that counts at the present values is written, and
    steps (``ceil``) as their present number.
    """

    def __init__(self, symbols: Mapping[str, sympy.Symbol], present: Mapping[str, float], piece: bool) -> None:
        self._symbols, self._present, self._piece = symbols, present, piece
        self._known: dict[int, Any] = {}
        self._numbers: dict[int, Any] = {}

    def written(self, value: Number) -> Any:
        """``value`` with sympy."""
        if not isinstance(value, Node):
            return _number(value)
        with np.errstate(all="ignore"):
            for node in reachable([value]):
                if node.index not in self._known:
                    self._numbers[node.index] = self._evaluated(node)
                    self._known[node.index] = self._write(node)
        return self._known[value.index]

    def _evaluated(self, node: Node) -> Any:
        if node.op == "leaf":
            return float(self._present[node.args[0]])
        return FUNCTIONS[node.op](*(self._at(a) for a in node.args))

    def _at(self, arg: Number) -> Any:
        return self._numbers[arg.index] if isinstance(arg, Node) else float(arg)

    def _write(self, node: Node) -> Any:
        if node.op == "leaf":
            name = node.args[0]
            return self._symbols.get(name, _number(self._present[name]))
        if self._piece:
            if node.op in _STEPPED:
                return _number(self._numbers[node.index])
            chosen = self._chosen(node)
            if chosen is not None:
                return self._arg(chosen)
        return _WRITTEN[node.op](*map(self._arg, node.args))

    def _chosen(self, node: Node) -> Number | None:
        """The argument that counts at the present values."""
        if node.op == "where":
            return node.args[1] if self._at(node.args[0]) else node.args[2]
        if node.op in ("max", "min"):
            first, second = map(self._at, node.args)
            return node.args[0] if (first >= second) == (node.op == "max") else node.args[1]
        return None

    def _arg(self, arg: Number) -> Any:
        return self._known[arg.index] if isinstance(arg, Node) else _number(arg)


def _number(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return sympy.true if value else sympy.false
    number = float(value)
    return sympy.Integer(int(number)) if number.is_integer() and abs(number) < 2**53 else sympy.Float(number, 17)
