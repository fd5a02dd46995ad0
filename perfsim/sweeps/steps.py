"""Sums over the steps of a decode in closed form: exact, and without visiting every position.

A value per step is made of terms that are polynomials of the position, whole pages ``ceil(position / page)``, and
bends ``max(u, v)`` of such. Between the points where the larger side of a bend changes, everything has a known sum.
A bend changes once if ``u - v`` is monotone; where that cannot be shown, or a value is of another kind, the sum stays a
loop over the positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias, Union

from perfsim.quantities.numbers import Number, ceil_div, maximum, minimum, where
from perfsim.quantities.recorder import Node, Operand, Tape

__all__ = ["LOOPS", "Lowered", "without_steps"]

LOOPS = ("loop_sum", "loop_largest")
"""Operations that visit every position."""


@dataclass(frozen=True)
class _Power:
    """``position ** exponent``."""

    exponent: int


@dataclass(frozen=True)
class _Pages:
    """``ceil(position / page)``."""

    page: int


@dataclass(frozen=True, eq=False)
class _Bend:
    """The larger (``kind`` "max") or smaller of two forms."""

    kind: str
    first: _Form
    second: _Form


_Atom: TypeAlias = Union[_Power, _Pages, _Bend]
_Form: TypeAlias = dict[_Atom, Operand]
_ONE, _X = _Power(0), _Power(1)


@dataclass(frozen=True, eq=False)
class _Piece:
    """A bend between two positions, counted from the first one: its sides change places behind ``turn`` of them.

    rising: whether first - second rises.
    """

    start: Number
    end: Number
    first: _Form
    second: _Form
    turn: Number
    rising: Number


@dataclass(frozen=True, eq=False)
class Lowered:
    """Expressions without steps. ``valid``: where their closed forms hold; True for everywhere."""

    outputs: dict[str, Number]
    valid: Number
    looped: bool


def without_steps(outputs: dict[str, Number], closed: bool = True) -> Lowered:
    """``outputs`` with all sums and maxima over positions in closed form; as loops where there is none, or always
    if not ``closed``."""
    new: dict[int, Number] = {}
    forms: dict[int, _Form | None] = {}
    sums: dict[int, _Steps] = {}
    valid: Number = True
    looped = False
    for node in reachable(outputs.values()):
        if node.position is not None:
            forms[node.index] = _form(node, forms, new) if closed else None
            continue
        if node.op not in ("sum", "largest"):
            new[node.index] = node if node.op in ("leaf", "position") else _rebuilt(node, new)
            continue
        position = node.args[0].position
        steps = sums.setdefault(position.index, _Steps(position, new))
        form = forms[node.args[0].index]
        found = None if form is None else steps.closed(node.op, form)
        if found is None:
            found, looped = node.tape.node(f"loop_{node.op}", node.args), True
        new[node.index] = found
    for steps in sums.values():
        valid = valid & steps.valid
    return Lowered({name: _new(value, new) for name, value in outputs.items()}, valid, looped)


def reachable(values: Iterable[Number]) -> list[Node]:
    """All expressions that ``values`` need, each behind those that it needs itself."""
    found: dict[int, Node] = {}
    waiting = [value for value in values if isinstance(value, Node)]
    while waiting:
        node = waiting.pop()
        if node.index not in found:
            found[node.index] = node
            waiting += [a for a in node.args if isinstance(a, Node)]
    return [found[index] for index in sorted(found)]


def _new(value: Number, new: dict[int, Number]) -> Number:
    return new[value.index] if isinstance(value, Node) else value


def _rebuilt(node: Node, new: dict[int, Number]) -> Number:
    args = tuple(_new(a, new) for a in node.args)
    return node if all(a is b for a, b in zip(args, node.args, strict=True)) else node.record(node.op, *args)


def _form(node: Node, forms: dict[int, _Form | None], new: dict[int, Number]) -> _Form | None:
    """``node`` as a sum of atoms with coefficients that do not depend on the position; None if it is no such sum."""
    if node.op == "position":
        return {_X: 1}
    args: list[_Form] = []
    for arg in node.args:
        found = forms[arg.index] if isinstance(arg, Node) and arg.position is not None else {_ONE: _new(arg, new)}
        if found is None:
            return None
        args.append(found)
    rule = _FORMS.get(node.op)
    return None if rule is None else rule(node, args)


def _plain(form: _Form) -> Number | None:
    """The value of a form without positions; None if there are any."""
    return form[_ONE] if set(form) == {_ONE} else None


def _scaled(form: _Form, factor: Number) -> _Form:
    return {atom: coefficient * factor for atom, coefficient in form.items()}


def _sum(first: _Form, second: _Form, sign: int = 1) -> _Form:
    result = dict(first)
    for atom, coefficient in second.items():
        total = result.get(atom, 0) + coefficient * sign
        result[atom] = total
    return {atom: c for atom, c in result.items() if isinstance(c, Node) or c != 0} or {_ONE: 0}


def _product(node: Node, args: list[_Form]) -> _Form | None:
    first, second = args
    for form, other in ((first, second), (second, first)):
        factor = _plain(form)
        if factor is not None:
            return _scaled(other, factor)
    if not all(isinstance(atom, _Power) for atom in (*first, *second)):
        return None
    result: _Form = {}
    for a, c in first.items():
        for b, d in second.items():
            power = _Power(a.exponent + b.exponent)  # type: ignore[union-attr]
            result[power] = result.get(power, 0) + c * d
    return result if max(p.exponent for p in result) <= 2 else None  # type: ignore[union-attr]


def _quotient(node: Node, args: list[_Form]) -> _Form | None:
    divisor = _plain(args[1])
    return None if divisor is None else {atom: c / divisor for atom, c in args[0].items()}


def _bend(node: Node, args: list[_Form]) -> _Form | None:
    return {_Bend(node.op, args[0], args[1]): 1}


def _ceiling(node: Node, args: list[_Form]) -> _Form | None:
    """Pages: the argument must be position / page with a whole page."""
    share = args[0].get(_X) if set(args[0]) == {_X} else None
    if isinstance(share, Node) or share is None or share <= 0:
        return None
    page = round(1 / share)
    return {_Pages(page): 1} if page >= 1 and 1 / page == share else None


def _choice(node: Node, args: list[_Form]) -> _Form | None:
    condition = _plain(args[0])
    if condition is None:
        return None
    atoms = [*args[1], *(atom for atom in args[2] if atom not in args[1])]
    return {atom: where(condition, args[1].get(atom, 0), args[2].get(atom, 0)) for atom in atoms}


_FORMS = {
    "add": lambda node, args: _sum(*args),
    "sub": lambda node, args: _sum(*args, sign=-1),
    "mul": _product, "div": _quotient, "max": _bend, "min": _bend, "ceil": _ceiling, "where": _choice,
}  # fmt: skip


def _sign(value: Number) -> int | None:
    low, high = (value.low, value.high) if isinstance(value, Node) else (value, value)
    return 1 if low >= 0 else (-1 if high <= 0 else None)


def _slope(form: _Form) -> int | None:
    """1 if a form never falls with the position, -1 if it never rises, 0 if it is constant, None if not known."""
    found = set()
    for atom, coefficient in form.items():
        if atom == _ONE:
            continue
        own: int | None = 1
        if isinstance(atom, _Bend):
            sides = {_slope(atom.first), _slope(atom.second)} - {0}
            own = 0 if not sides else (sides.pop() if len(sides) == 1 else None)
        sign = _sign(coefficient)
        found.add(None if own is None or sign is None else own * sign)
    found -= {0}
    return 0 if not found else (found.pop() if len(found) == 1 else None)


def _is_convex(form: _Form) -> bool:
    """Whether the largest value lies at the first or last position."""
    for atom, coefficient in form.items():
        if atom in (_ONE, _X):
            continue
        inside = isinstance(atom, _Power) or (
            isinstance(atom, _Bend) and atom.kind == "max" and _is_convex(atom.first) and _is_convex(atom.second)
        )
        if not inside or _sign(coefficient) != 1:
            return False
    return True


class _UnsupportedError(Exception):
    """A bend may change more than once."""


class _Steps:
    """Closed forms over the positions start, start + 1, ... of one decode."""

    def __init__(self, position: Node, new: dict[int, Number]) -> None:
        self._tape: Tape = position.tape
        self._start, self._steps = (_new(a, new) for a in position.args)
        self._found: dict[_Bend, list[_Piece]] = {}
        self.valid: Number = True

    def closed(self, op: str, form: _Form) -> Number | None:
        """The sum or the largest value of a form over all positions; None if only a loop can tell."""
        if op == "largest":
            return self._largest(form)
        try:
            return self._prefix(form, self._steps)
        except _UnsupportedError:
            return None

    def _largest(self, form: _Form) -> Number | None:
        last = self._value(form, self._start + (self._steps - 1))
        if _slope(form) in (0, 1):
            return last
        return maximum(self._value(form, self._start), last) if _is_convex(form) else None

    def _value(self, form: _Form, x: Number) -> Number:
        """A form at one position."""
        total: Number = 0
        for atom, coefficient in form.items():
            if isinstance(atom, _Power):
                at: Number = 1
                for _ in range(atom.exponent):
                    at = at * x
            elif isinstance(atom, _Pages):
                at = ceil_div(x, atom.page)
            else:
                choose = maximum if atom.kind == "max" else minimum
                at = choose(self._value(atom.first, x), self._value(atom.second, x))
            total = total + coefficient * at
        return total

    def _prefix(self, form: _Form, count: Number) -> Number:
        """Sum of a form over the first ``count`` positions."""
        total: Number = 0
        for atom, coefficient in form.items():
            total = total + coefficient * self._prefix_atom(atom, count)
        return total

    def _prefix_atom(self, atom: _Atom, k: Number) -> Number:
        if isinstance(atom, _Power):
            a = self._start
            if atom.exponent == 0:
                return k
            if atom.exponent == 1:
                return k * a + k * (k - 1) / 2
            return k * (a * a) + a * (k * (k - 1)) + (k - 1) * k * (2 * k - 1) / 6
        if isinstance(atom, _Pages):
            return _pages_up_to(self._start + k - 1, atom.page) - _pages_up_to(self._start - 1, atom.page)
        return sum(self._piece(atom.kind, piece, k) for piece in self._pieces(atom))

    def _piece(self, kind: str, piece: _Piece, k: Number) -> Number:
        """Sum of a bend over the positions of a piece that are among the first ``k``."""
        late, early = (piece.first, piece.second) if kind == "max" else (piece.second, piece.first)
        end = maximum(minimum(k, piece.end), piece.start)
        turn = minimum(maximum(piece.turn, piece.start), end)
        at = {
            (side, i): self._prefix(form, bound)
            for side, form in (("early", early), ("late", late))
            for i, bound in enumerate((piece.start, turn, end))
        }
        rising = at["early", 1] - at["early", 0] + (at["late", 2] - at["late", 1])
        falling = at["late", 1] - at["late", 0] + (at["early", 2] - at["early", 1])
        return where(piece.rising, rising, falling)

    def _pieces(self, bend: _Bend) -> list[_Piece]:
        """The bend between the points where bends inside of it turn; only where it is monotone, it is one piece."""
        if bend not in self._found:
            gap = _sum(bend.first, bend.second, sign=-1)
            inside = [atom for atom in gap if isinstance(atom, _Bend)]
            if not inside or _slope(gap) is not None:
                self._found[bend] = [_Piece(0, self._steps, bend.first, bend.second, *self._turn(gap))]
            else:
                points = _sorted([point for each in inside for point in self._points(each)])
                self._found[bend] = [self._segment(bend, s, e) for s, e in pairwise([0, *points, self._steps])]
        return self._found[bend]

    def _points(self, bend: _Bend) -> list[Number]:
        """How many positions come before each turn of a bend, or of those inside of it."""
        pieces = self._pieces(bend)
        inside = [atom for side in (bend.first, bend.second) for atom in side if isinstance(atom, _Bend)]
        turns = [minimum(maximum(piece.turn, piece.start), piece.end) for piece in pieces]
        return list({id(p): p for p in (*turns, *(p for each in inside for p in self._points(each)))}.values())

    def _segment(self, bend: _Bend, start: Number, end: Number) -> _Piece:
        middle = self._start + _floor((start + end) / 2)
        first, second = self._straight(bend.first, middle), self._straight(bend.second, middle)
        return _Piece(start, end, first, second, *self._turn(_sum(first, second, sign=-1)))

    def _straight(self, form: _Form, x: Number) -> _Form:
        """The form around ``x``, with those sides of its bends that count there."""
        result: _Form = {}
        for atom, coefficient in form.items():
            side = {atom: 1} if not isinstance(atom, _Bend) else self._side(atom, x)
            result = _sum(result, _scaled(side, coefficient))
        return result

    def _side(self, bend: _Bend, x: Number) -> _Form:
        first, second = self._straight(bend.first, x), self._straight(bend.second, x)
        upper = self._value(first, x) > self._value(second, x)
        above, below = (first, second) if bend.kind == "max" else (second, first)
        atoms = [*above, *(atom for atom in below if atom not in above)]
        return {atom: where(upper, above.get(atom, 0), below.get(atom, 0)) for atom in atoms}

    def _demand(self, condition: Number) -> None:
        self.valid = self.valid & condition

    def _demand_monotone(self, gap: _Form, pages: _Pages) -> Number:
        """Whether the gap rises; where it does not do the same inside of pages and between them, it is not valid."""
        within, jump = gap.get(_X, 0), gap.get(_X, 0) + gap[pages]
        self._demand((within >= 0) & (jump >= 0) | (within <= 0) & (jump <= 0))
        return within + jump >= 0

    def _turn(self, gap: _Form) -> tuple[Number, Number]:
        """How many positions come before a gap changes its sign, and whether it rises."""
        if set(gap) <= {_ONE, _X}:
            return self._crossing(gap)
        slope = _slope(gap)
        if slope is not None:
            return self._bisected(gap, slope != -1), slope != -1
        pages = [atom for atom in gap if isinstance(atom, _Pages)]
        if len(pages) != 1 or not set(gap) <= {_ONE, _X, *pages}:
            raise _UnsupportedError
        rising = self._demand_monotone(gap, pages[0])
        return self._bisected(gap, rising), rising

    def _crossing(self, gap: _Form) -> tuple[Number, Number]:
        """Positions before the sign of a straight line changes."""
        slope, n = gap.get(_X, 0), self._steps
        first = gap.get(_ONE, 0) + slope * self._start
        flat = where(first > 0, 0, n)
        before = minimum(maximum(_floor(-first / slope) + 1, 0), n) if not _is_zero(slope) else flat
        return where(slope == 0, flat, before), slope >= 0

    def _bisected(self, gap: _Form, rising: Number) -> Number:
        n = self._steps
        most = n.high if isinstance(n, Node) else n
        low: Number = 0
        high: Number = n
        for _ in range(math.ceil(math.log2(most + 1)) + 1):
            middle = _floor((low + high) / 2)
            at = self._value(gap, self._start + middle)
            before = where(rising, at <= 0, at > 0) & (low < high)
            low, high = where(before, middle + 1, low), where(before, high, minimum(middle, high))
        return low


def _is_zero(value: Number) -> bool:
    return not isinstance(value, Node) and bool(value == 0)


def _floor(value: Number) -> Number:
    return -ceil_div(-value, 1) if isinstance(value, Node) else math.floor(value)


def _sorted(points: list[Number]) -> list[Number]:
    """In rising order, whatever their values: a network of comparisons."""
    found = list(points)
    for last in range(len(found) - 1, 0, -1):
        for i in range(last):
            found[i], found[i + 1] = minimum(found[i], found[i + 1]), maximum(found[i], found[i + 1])
    return found


def _pages_up_to(last: Number, page: int) -> Number:
    """Sum of ceil(j / page) over j = 1 … last."""
    whole = _floor(last / page)
    return page * (whole * (whole + 1)) / 2 + (last - whole * page) * (whole + 1)
