"""Values per step as sums of atoms: powers of the position, whole pages, and bends ``max(u, v)`` of such sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from perfsim.quantities.numbers import Number, where
from perfsim.quantities.recorder import Node, Operand

__all__ = [
    "ONE", "Atom", "Bend", "Form", "Pages", "Power", "X", "added", "form_of", "is_convex", "rebuilt", "renewed",
    "scaled", "slope_of",
]  # fmt: skip


@dataclass(frozen=True)
class Power:
    """``position ** exponent``."""

    exponent: int


@dataclass(frozen=True)
class Pages:
    """``ceil(position / page)``."""

    page: int


@dataclass(frozen=True, eq=False)
class Bend:
    """The larger (``kind`` "max") or smaller of two forms."""

    kind: str
    first: Form
    second: Form


Atom: TypeAlias = Power | Pages | Bend
Form: TypeAlias = dict[Atom, Operand]
ONE, X = Power(0), Power(1)


def renewed(value: Number, new: dict[int, Number]) -> Number:
    """What stands for ``value`` now."""
    return new[value.index] if isinstance(value, Node) else value


def rebuilt(node: Node, new: dict[int, Number]) -> Number:
    """``node`` with its arguments renewed."""
    args = tuple(renewed(a, new) for a in node.args)
    return node if all(a is b for a, b in zip(args, node.args, strict=True)) else node.record(node.op, *args)


def form_of(node: Node, forms: dict[int, Form | None], new: dict[int, Number]) -> Form | None:
    """``node`` as a sum of atoms with coefficients that do not depend on the position; None if it is no such sum."""
    if node.op == "position":
        return {X: 1}
    args: list[Form] = []
    for arg in node.args:
        steps = isinstance(arg, Node) and arg.position is not None
        found: Form | None = forms[arg.index] if steps else {ONE: renewed(arg, new)}
        if found is None:
            return None
        args.append(found)
    rule = _FORMS.get(node.op)
    return None if rule is None else rule(args)


def _plain(form: Form) -> Number | None:
    """The value of a form without positions; None if there are any."""
    return form[ONE] if set(form) == {ONE} else None


def scaled(form: Form, factor: Number) -> Form:
    """A form times a number."""
    return {atom: coefficient * factor for atom, coefficient in form.items()}


def added(first: Form, second: Form, sign: int = 1) -> Form:
    """First + sign · second."""
    result = dict(first)
    for atom, coefficient in second.items():
        total = result.get(atom, 0) + coefficient * sign
        result[atom] = total
    return {atom: c for atom, c in result.items() if isinstance(c, Node) or c != 0} or {ONE: 0}


def _product(args: list[Form]) -> Form | None:
    first, second = args
    for form, other in ((first, second), (second, first)):
        factor = _plain(form)
        if factor is not None:
            return scaled(other, factor)
    if not all(isinstance(atom, Power) for atom in (*first, *second)):
        return None
    result: Form = {}
    for a, c in first.items():
        for b, d in second.items():
            power = Power(a.exponent + b.exponent)  # type: ignore[union-attr]
            result[power] = result.get(power, 0) + c * d
    return result if max(p.exponent for p in result) <= 2 else None  # type: ignore[union-attr]


def _quotient(args: list[Form]) -> Form | None:
    divisor = _plain(args[1])
    return None if divisor is None else {atom: c / divisor for atom, c in args[0].items()}


def _ceiling(args: list[Form]) -> Form | None:
    """Pages: the argument must be position / page with a whole page."""
    share = args[0].get(X) if set(args[0]) == {X} else None
    if isinstance(share, Node) or share is None or share <= 0:
        return None
    page = round(1 / share)
    return {Pages(page): 1} if page >= 1 and 1 / page == share else None


def _bent(kind: str, args: list[Form]) -> Form:
    """A bend whose second side is the straight one, if one of them is."""
    first, second = sorted(args, key=lambda form: not any(isinstance(atom, Bend) for atom in form))
    return {Bend(kind, first, second): 1}


def _choice(args: list[Form]) -> Form | None:
    condition = _plain(args[0])
    if condition is None:
        return None
    atoms = [*args[1], *(atom for atom in args[2] if atom not in args[1])]
    return {atom: where(condition, args[1].get(atom, 0), args[2].get(atom, 0)) for atom in atoms}


_FORMS: Mapping[str, Callable[[list[Form]], Form | None]] = {
    "add": lambda args: added(args[0], args[1]),
    "sub": lambda args: added(args[0], args[1], sign=-1),
    "mul": _product,
    "div": _quotient,
    "max": lambda args: _bent("max", args),
    "min": lambda args: _bent("min", args),
    "ceil": _ceiling,
    "where": _choice,
}


def _sign(value: Number) -> int | None:
    low, high = (value.low, value.high) if isinstance(value, Node) else (value, value)
    return 1 if low >= 0 else (-1 if high <= 0 else None)


def slope_of(form: Form) -> int | None:
    """1 if a form never falls with the position, -1 if it never rises, 0 if it is constant, None if not known."""
    found = set()
    for atom, coefficient in form.items():
        if atom == ONE:
            continue
        own: int | None = 1
        if isinstance(atom, Bend):
            sides = {slope_of(atom.first), slope_of(atom.second)} - {0}
            own = 0 if not sides else (sides.pop() if len(sides) == 1 else None)
        sign = _sign(coefficient)
        found.add(None if own is None or sign is None else own * sign)
    found -= {0}
    return 0 if not found else (found.pop() if len(found) == 1 else None)


def is_convex(form: Form) -> bool:
    """Whether the largest value lies at the first or last position."""
    for atom, coefficient in form.items():
        if atom in (ONE, X):
            continue
        inside = isinstance(atom, Power) or (
            isinstance(atom, Bend) and atom.kind == "max" and is_convex(atom.first) and is_convex(atom.second)
        )
        if not inside or _sign(coefficient) != 1:
            return False
    return True
