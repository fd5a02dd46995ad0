"""The few functions that know what a formula computes with.

A formula of perfsim is plain arithmetic. It is evaluated with Python numbers (one prediction), numpy
arrays (positions of a decode), sympy expressions (``explain``), with a recorder that makes the programs of
sweeps of it (:mod:`perfsim.quantities.recorder`) and, in tests, with dimensions
(:mod:`perfsim.quantities.dimensions`). Only the functions here look at the carrier; numpy and sympy are
never imported by them, because an array or a symbol can only arrive once its library is loaded.
"""

from __future__ import annotations

import math
import sys
from numbers import Integral, Real
from typing import Any, TypeAlias

__all__ = [
    "Number", "at_most", "ceil_div", "is_array", "is_recorded", "is_symbolic", "largest", "maximum", "minimum",
    "over_steps", "plain", "power", "varies", "where",
]  # fmt: skip

Number: TypeAlias = Any
"""An ``int``, ``float``, ``numpy.ndarray``, ``sympy.Expr``, a recorded expression or a traced dimension."""

_PLAIN = (int, float)


def is_array(value: Number) -> bool:
    """Whether ``value`` is a numpy array."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def is_symbolic(value: Number) -> bool:
    """Whether ``value`` is a sympy expression."""
    sympy = sys.modules.get("sympy")
    return sympy is not None and isinstance(value, sympy.Basic)


def is_recorded(value: Number) -> bool:
    """Whether ``value`` is an expression of a recording."""
    return hasattr(value, "recorded")


def varies(value: Number) -> bool:
    """Whether ``value`` stands for many numbers, which were checked one by one: an array or a recorded expression."""
    return is_array(value) or is_recorded(value)


def plain(value: Any) -> Any:
    """A number of another library (``numpy.int64``, a fraction) as ``int`` or ``float``; anything else as it is."""
    if type(value) in _PLAIN or isinstance(value, bool | str | None) or is_symbolic(value):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def maximum(first: Number, *others: Number) -> Number:
    """The largest of the arguments, element by element for arrays, ``sympy.Max`` for symbols."""
    if len(others) == 1 and type(first) in _PLAIN and type(others[0]) in _PLAIN:  # the common case, in the hot path
        return max(first, others[0])
    return _fold("maximum", max, first, others)


def minimum(first: Number, *others: Number) -> Number:
    """The smallest of the arguments, element by element for arrays, ``sympy.Min`` for symbols."""
    if len(others) == 1 and type(first) in _PLAIN and type(others[0]) in _PLAIN:
        return min(first, others[0])
    return _fold("minimum", min, first, others)


def _fold(name: str, plain: Any, first: Number, others: tuple[Number, ...]) -> Number:
    result = first
    for other in others:
        if isinstance(result, _PLAIN) and isinstance(other, _PLAIN):
            result = plain(result, other)
        elif is_recorded(result) or is_recorded(other):
            result = _record(name[:3], result, other)
        elif is_symbolic(result) or is_symbolic(other):
            result = getattr(sys.modules["sympy"], name.capitalize()[:3])(result, other)
        elif is_array(result) or is_array(other):
            result = getattr(sys.modules["numpy"], name)(result, other)
        else:
            result = _method(result, other, "combine")
    return result


ROUNDING = 1e-12
"""Relative excess over a bound that is rounding of sums of numbers [1]; a larger one is a mistake, and shows."""


def at_most(value: Number, bound: Number) -> Number:
    """``value``, or ``bound`` where it is exceeded by no more than rounding; symbols pass."""
    if is_symbolic(value) or is_symbolic(bound):
        return value
    return where((value > bound) & (value <= bound * (1 + ROUNDING)), bound, value)


def ceil_div(dividend: Number, divisor: Number) -> Number:
    """Smallest integer not below ``dividend / divisor``; exact for Python integers."""
    if isinstance(dividend, int) and isinstance(divisor, int):
        return -(-dividend // divisor)
    quotient = dividend / divisor
    if isinstance(quotient, float):
        return math.ceil(quotient)
    if is_recorded(quotient):
        return _record("ceil", quotient)
    if is_symbolic(quotient):
        return sys.modules["sympy"].ceiling(quotient)
    if is_array(quotient):
        return sys.modules["numpy"].ceil(quotient)
    return quotient.ceil()


def where(condition: Any, yes: Number, no: Number) -> Number:
    """``yes`` where ``condition`` holds, else ``no``; ``sympy.Piecewise`` for symbolic conditions."""
    if isinstance(condition, bool):
        if hasattr(yes, "combine") or hasattr(no, "combine"):
            _method(yes, no, "combine")  # both choices need one dimension, also the one not taken
        return yes if condition else no
    if is_recorded(condition):
        return _record("where", condition, yes, no)
    if is_symbolic(condition):
        sympy = sys.modules["sympy"]
        return sympy.Piecewise((yes, condition), (no, True))
    if is_array(condition):
        return sys.modules["numpy"].where(condition, yes, no)
    return yes if bool(condition) else no


def power(base: Number, exponent: Number) -> Number:
    """``base ** exponent`` without integer overflow (a float base is used for integers)."""
    return (float(base) if isinstance(base, int) else base) ** exponent


def over_steps(value: Number, steps: Number) -> Number:
    """Total of a per-step value: the sum over the last axis of an array, otherwise ``value * steps``."""
    if is_recorded(value) or is_recorded(steps):
        return _record("over_steps", value, steps)
    if is_array(value) and value.ndim and value.shape[-1] > 1:
        total = value.sum(axis=-1)
        return total.item() if total.ndim == 0 else total
    if is_array(value) and value.size == 1:
        value = value.item()
    return value * steps


def largest(value: Number) -> Number:
    """The largest of a per-step value over all steps."""
    if is_recorded(value):
        return _record("largest", value)
    return value.max().item() if is_array(value) else value


def _record(name: str, *args: Number) -> Number:
    return next(a for a in args if is_recorded(a)).record(name, *args)


def _method(first: Number, second: Number, name: str) -> Number:
    owner, other = (first, second) if hasattr(first, name) else (second, first)
    if not hasattr(owner, name):
        raise TypeError(f"cannot compare {type(first).__name__} with {type(second).__name__}")
    return getattr(owner, name)(other)
