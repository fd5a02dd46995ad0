"""Sums over the steps of a decode in closed form: exact, and without visiting every position.

A value per step is made of terms that are polynomials of the position, whole pages ``ceil(position / page)``, and
bends ``max(u, v)`` of such. Between the points where the larger side of a bend changes, everything has a known sum.
A bend changes once if ``u - v`` is monotone; where that cannot be shown, or a value is of another kind, the sum stays a
loop over the positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from perfsim.quantities.numbers import Number, ceil_div, maximum, minimum, where
from perfsim.quantities.recorder import Node
from perfsim.sweeps.forms import (
    ONE,
    Atom,
    Bend,
    Form,
    Pages,
    Power,
    X,
    added,
    form_of,
    is_convex,
    rebuilt,
    renewed,
    scaled,
    slope_of,
)

__all__ = ["LOOPS", "Lowered", "reachable", "without_steps"]

LOOPS = ("loop_sum", "loop_largest")
"""Operations that visit every position."""


@dataclass(frozen=True, eq=False)
class _Piece:
    """A bend between two positions, counted from the first one: its sides change places behind ``turn`` of them.

    gap: first - second; rising: whether it rises.
    """

    start: Number
    end: Number
    first: Form
    second: Form
    gap: Form
    turn: Number
    rising: Number


@dataclass(frozen=True, eq=False)
class Lowered:
    """Expressions without steps. ``valid``: where their closed forms hold; True for everywhere."""

    outputs: dict[str, Number]
    valid: Number
    looped: bool


def without_steps(outputs: Mapping[str, Number], closed: bool = True) -> Lowered:
    """``outputs`` with all sums and maxima over positions in closed form; as loops where there is none, or always
    if not ``closed``.
    """
    new: dict[int, Number] = {}
    forms: dict[int, Form | None] = {}
    sums: dict[int, _Steps] = {}
    valid: Number = True
    looped = False
    for node in reachable(outputs.values()):
        if node.position is not None:
            forms[node.index] = form_of(node, forms, new) if closed else None
            continue
        if node.op not in ("sum", "largest"):
            new[node.index] = node if node.op in ("leaf", "position") else rebuilt(node, new)
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
    return Lowered({name: renewed(value, new) for name, value in outputs.items()}, valid, looped)


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


class _UnsupportedError(Exception):
    """A bend may change more than once."""


class _Steps:
    """Closed forms over the positions start, start + 1, ... of one decode."""

    def __init__(self, position: Node, new: dict[int, Number]) -> None:
        self._start, self._steps = (renewed(a, new) for a in position.args)
        self._found: dict[Bend, list[_Piece]] = {}
        self.valid: Number = True

    def closed(self, op: str, form: Form) -> Number | None:
        """The sum or the largest value of a form over all positions; None if only a loop can tell."""
        if op == "largest":
            return self._largest(form)
        try:
            return self._prefix(form, self._steps)
        except _UnsupportedError:
            return None

    def _largest(self, form: Form) -> Number | None:
        last = self._value(form, self._start + (self._steps - 1))
        if slope_of(form) in (0, 1):
            return last
        return maximum(self._value(form, self._start), last) if is_convex(form) else None

    def _value(self, form: Form, x: Number) -> Number:
        """A form at one position."""
        total: Number = 0
        for atom, coefficient in form.items():
            if isinstance(atom, Power):
                at: Number = 1
                for _ in range(atom.exponent):
                    at = at * x
            elif isinstance(atom, Pages):
                at = ceil_div(x, atom.page)
            else:
                choose = maximum if atom.kind == "max" else minimum
                at = choose(self._value(atom.first, x), self._value(atom.second, x))
            total = total + coefficient * at
        return total

    def _prefix(self, form: Form, count: Number) -> Number:
        """Sum of a form over the first ``count`` positions."""
        return self._between(form, 0, count)

    def _between(self, form: Form, start: Number, end: Number) -> Number:
        """Sum of a form over some positions."""
        total: Number = 0
        for atom, coefficient in form.items():
            total = total + coefficient * self._atom_between(atom, start, end)
        return total

    def _atom_between(self, atom: Atom, start: Number, end: Number) -> Number:
        return self._prefix_atom(atom, end) - self._prefix_atom(atom, start)

    def _prefix_atom(self, atom: Atom, k: Number) -> Number:
        if not isinstance(k, Node) and k == 0:
            return 0
        if isinstance(atom, Power):
            a = self._start
            if atom.exponent == 0:
                return k
            if atom.exponent == 1:
                return k * (a + (k - 1) * 0.5)
            return k * (a * a) + a * (k * (k - 1)) + (k - 1) * k * (2 * k - 1) / 6
        if isinstance(atom, Pages):
            return _pages_up_to(self._start + k - 1, atom.page) - _pages_up_to(self._start - 1, atom.page)
        if atom.kind == "max":  # the second side, and what the first is above it
            return self._prefix(atom.second, k) + sum(self._above(piece, k) for piece in self._pieces(atom))
        return sum(self._smaller(piece, k) for piece in self._pieces(atom))

    def _above(self, piece: _Piece, k: Number) -> Number:
        """What the first side is above the second one, over the positions of a piece that are among the first ``k``."""
        start, turn, end = self._bounds(piece, k)
        total: Number = 0
        for atom, coefficient in piece.gap.items():
            late, early = self._atom_between(atom, turn, end), self._atom_between(atom, start, turn)
            total = total + coefficient * where(piece.rising, late, early)
        return total

    def _smaller(self, piece: _Piece, k: Number) -> Number:
        """Sum of the smaller side; not of differences, in which a large side would leave its rounding behind."""
        start, turn, end = self._bounds(piece, k)
        atoms = [*piece.first, *(atom for atom in piece.second if atom not in piece.first)]
        pairs = [(atom, piece.first.get(atom, 0), piece.second.get(atom, 0)) for atom in atoms]
        early = {atom: where(piece.rising, first, second) for atom, first, second in pairs}
        late = {atom: where(piece.rising, second, first) for atom, first, second in pairs}
        return self._between(early, start, turn) + self._between(late, turn, end)

    def _bounds(self, piece: _Piece, k: Number) -> tuple[Number, Number, Number]:
        """First position of a piece, its turn and its end, as far as they are among the first ``k``."""
        start, end = minimum(k, piece.start), minimum(k, piece.end)
        return start, minimum(maximum(piece.turn, start), end), end

    def _pieces(self, bend: Bend) -> list[_Piece]:
        """The bend between the points where bends inside of it turn; only where it is monotone, it is one piece."""
        if bend not in self._found:
            gap = added(bend.first, bend.second, sign=-1)
            inside = [atom for atom in gap if isinstance(atom, Bend)]
            if not inside or slope_of(gap) is not None:
                self._found[bend] = [_Piece(0, self._steps, bend.first, bend.second, gap, *self._turn(gap))]
            else:
                points = _sorted([point for each in inside for point in self._points(each)])
                self._found[bend] = [self._segment(bend, s, e) for s, e in pairwise([0, *points, self._steps])]
        return self._found[bend]

    def _points(self, bend: Bend) -> list[Number]:
        """How many positions come before each turn of a bend, or of those inside of it."""
        pieces = self._pieces(bend)
        inside = [atom for side in (bend.first, bend.second) for atom in side if isinstance(atom, Bend)]
        turns = [minimum(maximum(piece.turn, piece.start), piece.end) for piece in pieces]
        return list({id(p): p for p in (*turns, *(p for each in inside for p in self._points(each)))}.values())

    def _segment(self, bend: Bend, start: Number, end: Number) -> _Piece:
        middle = self._start + _floor((start + end) * 0.5)
        first, second = self._straight(bend.first, middle), self._straight(bend.second, middle)
        gap = added(first, second, sign=-1)
        return _Piece(start, end, first, second, gap, *self._turn(gap))

    def _straight(self, form: Form, x: Number) -> Form:
        """The form around ``x``, with those sides of its bends that count there."""
        result: Form = {}
        for atom, coefficient in form.items():
            side: Form = self._side(atom, x) if isinstance(atom, Bend) else {atom: 1}
            result = added(result, scaled(side, coefficient))
        return result

    def _side(self, bend: Bend, x: Number) -> Form:
        first, second = self._straight(bend.first, x), self._straight(bend.second, x)
        upper = self._value(first, x) > self._value(second, x)
        above, below = (first, second) if bend.kind == "max" else (second, first)
        atoms = [*above, *(atom for atom in below if atom not in above)]
        return {atom: where(upper, above.get(atom, 0), below.get(atom, 0)) for atom in atoms}

    def _turn(self, gap: Form) -> tuple[Number, Number]:
        """How many positions come before a gap changes its sign, and whether it rises."""
        pages = [atom for atom in gap if isinstance(atom, Pages)]
        if not pages and set(gap) <= {ONE, X}:
            slope = gap.get(X, 0)
            return self._places_before(_zero(gap.get(ONE, 0), slope), gap), slope >= 0
        if len(pages) == 1 and set(gap) <= {ONE, X, *pages}:
            return self._turn_in_page(gap, pages[0])
        slope_sign = slope_of(gap)
        if slope_sign is None:
            raise _UnsupportedError
        return self._bisected(gap, slope_sign != -1), slope_sign != -1

    def _places_before(self, x: Number, gap: Form) -> Number:
        """Positions before ``x``; all or none of them where a straight gap is level, as ``x`` is no number there."""
        n = self._steps
        flat = where(gap.get(ONE, 0) > 0, 0, n)
        before = minimum(maximum(x - self._start, 0), n)
        return where(gap.get(X, 0) == 0, flat, before)

    def _turn_in_page(self, gap: Form, pages: Pages) -> tuple[Number, Number]:
        """As :meth:`_turn`, for a straight line with a jump behind every page: first the page, then the place in it.

        Where it does not do the same inside of pages and between them, the closed forms are not valid.
        """
        level, within, jump, page = gap.get(ONE, 0), gap.get(X, 0), gap[pages], pages.page
        both = within + jump
        self.valid = self.valid & ((within >= 0) & (both >= 0) | (within <= 0) & (both <= 0))
        slope = within * page + jump
        number = _zero(level, slope)
        last = number * page
        first = last - (page - 1)
        inside = _zero(level + jump * number, within)
        x = where(within == 0, first, minimum(maximum(inside, first), last))
        return self._places_before(x, {ONE: level, X: slope}), within + both >= 0

    def _bisected(self, gap: Form, rising: Number) -> Number:
        n = self._steps
        most = n.high if isinstance(n, Node) else n
        low: Number = 0
        high: Number = n
        for _ in range(math.ceil(math.log2(most + 1)) + 1):
            middle = _floor((low + high) * 0.5)
            at = self._value(gap, self._start + middle)
            before = where(rising, at <= 0, at > 0) & (low < high)
            low, high = where(before, middle + 1, low), where(before, high, minimum(middle, high))
        return low


def _zero(level: Number, slope: Number) -> Number:
    """First whole number behind which ``level + slope · x`` has another sign, or at which it is nothing."""
    return ceil_div(-level, slope) if isinstance(slope, Node) or slope != 0 else 0


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
    pages = ceil_div(last, page)
    return pages * (last - (pages - 1) * (page / 2))
