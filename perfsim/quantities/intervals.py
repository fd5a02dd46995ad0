"""Ranges of values: what a function can give when its arguments lie between two bounds each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["PLAIN", "interval"]

_INF = math.inf


def interval(op: str, ranges: list[tuple[float, float]]) -> tuple[float, float]:
    """Range of ``op`` over the ranges of its arguments; everything where no rule is known."""
    low, high = _RULES[op](*ranges) if op in _RULES else (-_INF, _INF)
    return (-_INF, _INF) if math.isnan(low) or math.isnan(high) else (low, high)


def _products(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    found = [0.0 if 0 in (x, y) else x * y for x in a for y in b]
    return min(found), max(found)


def _quotients(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    if b[0] <= 0:
        return -_INF, _INF
    return _products(a, (1 / b[1], 1 / b[0]))


def _chosen(_: tuple[float, float], a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    return min(a[0], b[0]), max(a[1], b[1])


def _nearest(a: tuple[float, float]) -> tuple[float, float]:
    return tuple(round(x) if math.isfinite(x) else x for x in a)  # type: ignore[return-value]


def _up(a: tuple[float, float]) -> tuple[float, float]:
    return tuple(math.ceil(x) if math.isfinite(x) else x for x in a)  # type: ignore[return-value]


_RULES: Mapping[str, Callable[..., tuple[float, float]]] = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "mul": _products,
    "div": _quotients,
    "max": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "min": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "ceil": _up,
    "round": _nearest,
    "where": _chosen,
    "largest": lambda a: a,
    "sum": lambda a, n: _products(a, (max(n[0], 0.0), max(n[1], 0.0))),
    "mod": lambda _, b: (0.0, b[1]) if b[0] > 0 else (-_INF, _INF),
    "lt": lambda a, b: (float(a[1] < b[0]), float(a[0] < b[1])),
    "le": lambda a, b: (float(a[1] <= b[0]), float(a[0] <= b[1])),
}

PLAIN: Mapping[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "floordiv": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "pow": lambda a, b: a**b,
    "max": max,
    "min": min,
    "ceil": math.ceil,
    "round": round,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "or": lambda a, b: bool(a or b),
    "and": lambda a, b: bool(a and b),
    "not": lambda a: not a,
    "where": lambda c, a, b: a if c else b,
}
"""Each operation on plain numbers."""
