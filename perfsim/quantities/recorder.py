"""A carrier that records: formulas evaluated with it leave behind what they compute, to be evaluated many times.

The leaves of a recording stand for the numeric axes of a sweep. Running the one set of formulas with leaves in place of
numbers gives expressions (:class:`Node`), in which equal parts are one object and constants are folded. A decision
that Python takes (``if traffic > capacity``) is answered from the ranges of the leaves where these settle it; otherwise
the recording stops with :class:`UndecidedError`, and is made once for each answer that occurs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, TypeAlias, Union

from perfsim.quantities.intervals import PLAIN, interval

__all__ = ["CONDITIONS", "NeedsNumberError", "Node", "Operand", "Tape", "UndecidedError"]

Operand: TypeAlias = Union["Node", int, float]

CONDITIONS = frozenset({"lt", "le", "eq", "ne", "or", "and", "not"})
"""Operations whose result is true or false."""


class UndecidedError(Exception):
    """Python needs the truth of a condition that depends on the axes."""

    def __init__(self, condition: Node) -> None:
        super().__init__("a recorded condition is not decided")
        self.condition = condition


class NeedsNumberError(Exception):
    """Something can only be done with a number; ``leaves``: names of the axes on which it depends."""

    def __init__(self, leaves: frozenset[str]) -> None:
        super().__init__(f"a number is needed, which depends on {', '.join(sorted(leaves)) or 'nothing'}")
        self.leaves = leaves


class Tape:
    """The expressions of one recording. ``answers``: conditions that are taken as decided, by their digest."""

    def __init__(self, answers: Mapping[bytes, bool] | None = None) -> None:
        self._nodes: dict[Any, Node] = {}
        self.answers = dict(answers or {})

    def leaf(self, name: str, low: float, high: float, whole: bool = False) -> Node:
        """An axis, by name, with the range of its values; whole: whether all of them are whole numbers."""
        return self._made("leaf", (name,), low, high, frozenset({name}), None, whole)

    def position(self, start: Operand, steps: Operand) -> Node:
        """The positions start, start + 1, ... of ``steps`` steps, as one value."""
        first, last = _range(start)[0], _range(start)[1] + max(_range(steps)[1] - 1, 0)
        node = self._made("position", (start, steps), first, last, _leaves((start, steps)), None, True)
        node.position = node
        return node

    def node(self, op: str, args: tuple[Operand, ...]) -> Node:
        """The expression ``op(*args)``; the same object for the same expression."""
        found = self._nodes.get(_key(op, args))
        if found is not None:
            return found
        low, high = interval(op, [_range(a) for a in (*args, *_steps(op, args))])
        if op == "sub" and low < 0 and _covers(*args):
            low = 0.0
        whole = op in _WHOLE and (op in ("ceil", "round") or all(_is_whole(a) for a in args))
        positions = () if op in ("sum", "largest") else (p for a in args if (p := _position(a)) is not None)
        position = next(iter(positions), None)
        return self._made(op, args, low, high, _leaves(args), position, whole)

    def _made(
        self, op: str, args: tuple[Any, ...], low: float, high: float, leaves: frozenset[str], position: Node | None,
        whole: bool,
    ) -> Node:  # fmt: skip
        key = _key(op, args)
        found = self._nodes.get(key)
        if found is None:
            found = Node(self, op, args, len(self._nodes), low, high, leaves, position, whole)
            self._nodes[key] = found
        return found

    def decide(self, condition: Node) -> bool:
        """The answer that this recording gives to ``condition``.

        Raises
        ------
        UndecidedError
            if it has none.
        """
        if condition.digest not in self.answers:
            raise UndecidedError(condition)
        return self.answers[condition.digest]


_WHOLE = frozenset({"add", "sub", "mul", "max", "min", "ceil", "round", "mod", "floordiv", "where", "sum", "largest"})


def _key(op: str, args: tuple[Any, ...]) -> Any:
    """What tells expressions of one recording apart; 1 and 1.0 are two numbers."""
    return (op, *[a.key if isinstance(a, Node) else (type(a), a) for a in args])


def _range(value: Operand) -> tuple[float, float]:
    return (value.low, value.high) if isinstance(value, Node) else (float(value), float(value))


def _leaves(args: tuple[Any, ...]) -> frozenset[str]:
    return frozenset().union(*(a.leaves for a in args if isinstance(a, Node)))


def _position(value: Operand) -> Node | None:
    return value.position if isinstance(value, Node) else None


def _parts(value: Operand, op: str) -> list[Operand]:
    """What nested sums, or nested maxima, are made of."""
    found, waiting = [], [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Node) and part.op == op:
            waiting += part.args
        else:
            found.append(part)
    return found


def _covers(whole: Operand, less: Operand) -> bool:
    """Whether ``whole - less`` cannot be negative because ``less`` is made of what ``whole`` is a sum of."""
    addends = _parts(whole, "add")
    known = {a.index for a in addends if isinstance(a, Node)}
    if not all(_range(a)[0] >= 0 for a in addends):
        return False
    if isinstance(less, Node) and less.op == "max":
        return all(_range(p)[1] <= 0 or (isinstance(p, Node) and p.index in known) for p in _parts(less, "max"))
    for part in _parts(less, "add"):
        shared = isinstance(part, Node) and part.op == "mul" and _range(part.args[1])[1] <= 1
        base = part.args[0] if shared and isinstance(part, Node) else part
        if not isinstance(base, Node) or base.index not in known:
            return False
        known.discard(base.index)
    return True


def _steps(op: str, args: tuple[Operand, ...]) -> tuple[Operand, ...]:
    """How many values a sum has."""
    position = _position(args[0]) if op == "sum" else None
    return () if position is None else (position.args[1],)


def _is_whole(value: Operand) -> bool:
    return value.whole if isinstance(value, Node) else float(value).is_integer()


class Node:
    """A recorded expression: an operation on expressions and numbers.

    leaves: axes on which it depends; low, high: range of its values; position: the positions of a decode that it runs
    over, or None; whole: whether all of its values are known to be whole numbers; digest: names the expression, and is
    equal in every recording of the same formulas.
    """

    __slots__ = ("args", "digest", "high", "index", "key", "leaves", "low", "op", "position", "tape", "whole")
    digest: bytes
    __array_ufunc__ = None  # numpy leaves arithmetic with nodes to this class
    recorded = True

    def __init__(
        self, tape: Tape, op: str, args: tuple[Any, ...], index: int, low: float, high: float, leaves: frozenset[str],
        position: Node | None, whole: bool,
    ) -> None:  # fmt: skip
        self.tape, self.op, self.args, self.index, self.low, self.high = tape, op, args, index, low, high
        self.leaves, self.position, self.whole, self.key = leaves, position, whole, ("node", index)
        parts: Iterator[bytes] = (a.digest if isinstance(a, Node) else repr(a).encode() for a in args)
        self.digest = blake2b(b"\0".join((op.encode(), *parts)), digest_size=16).digest()

    def record(self, op: str, *args: Any) -> Any:
        """``op(*args)`` as an expression of this node's recording; a plain number where it is constant."""
        return _simplified(self.tape, op, args)

    __hash__ = object.__hash__

    def __add__(self, other: Any) -> Any:
        return self.record("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return self.record("add", self, other)

    def __sub__(self, other: Any) -> Any:
        return self.record("sub", self, other)

    def __rsub__(self, other: Any) -> Any:
        return self.record("sub", other, self)

    def __mul__(self, other: Any) -> Any:
        return self.record("mul", self, other)

    def __rmul__(self, other: Any) -> Any:
        return self.record("mul", self, other)

    def __truediv__(self, other: Any) -> Any:
        return self.record("div", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self.record("div", other, self)

    def __floordiv__(self, other: Any) -> Any:
        return self.record("floordiv", self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return self.record("floordiv", other, self)

    def __mod__(self, other: Any) -> Any:
        return self.record("mod", self, other)

    def __rmod__(self, other: Any) -> Any:
        return self.record("mod", other, self)

    def __pow__(self, other: Any) -> Any:
        return self.record("pow", self, other)

    def __rpow__(self, other: Any) -> Any:
        return self.record("pow", other, self)

    def __neg__(self) -> Any:
        return self.record("mul", self, -1)

    def __round__(self, digits: int | None = None) -> Any:
        return self if self.whole else self.record("round", self)

    def __lt__(self, other: Any) -> Any:
        return self.record("lt", self, other)

    def __le__(self, other: Any) -> Any:
        return self.record("le", self, other)

    def __gt__(self, other: Any) -> Any:
        return self.record("lt", other, self)

    def __ge__(self, other: Any) -> Any:
        return self.record("le", other, self)

    def __eq__(self, other: Any) -> Any:
        return self.record("eq", self, other) if isinstance(other, int | float | Node) else NotImplemented

    def __ne__(self, other: Any) -> Any:
        return self.record("ne", self, other) if isinstance(other, int | float | Node) else NotImplemented

    def __or__(self, other: Any) -> Any:
        return self.record("or", self, other)

    def __ror__(self, other: Any) -> Any:
        return self.record("or", other, self)

    def __and__(self, other: Any) -> Any:
        return self.record("and", self, other)

    def __rand__(self, other: Any) -> Any:
        return self.record("and", other, self)

    def __bool__(self) -> bool:
        condition = self if self.op in CONDITIONS else self.record("ne", self, 0)
        if not isinstance(condition, Node):
            return bool(condition)
        if condition.position is not None:
            raise NeedsNumberError(condition.leaves)
        return self.tape.decide(condition)

    def _needs_number(self, *_: Any) -> Any:
        raise NeedsNumberError(self.leaves)

    __index__ = __int__ = __float__ = __iter__ = __len__ = _needs_number

    def __repr__(self) -> str:
        return f"<{self.op} of {', '.join(sorted(self.leaves)) or 'constants'}>"


_ABSORBED: Mapping[str, Callable[[Any, Any], Any]] = {"add": PLAIN["add"], "mul": PLAIN["mul"]}


def _simplified(tape: Tape, op: str, args: tuple[Any, ...]) -> Any:
    if op == "over_steps":
        value, steps = args
        return tape.node("sum", (value,)) if _position(value) is not None else value * steps
    if op == "largest" and _position(args[0]) is None:
        return args[0]
    if not all(isinstance(a, int | float | Node) for a in args):
        raise NeedsNumberError(_leaves(args))
    if not any(isinstance(a, Node) for a in args):
        return PLAIN[op](*args)
    if op in _RECORDED:
        found = _RECORDED[op](args)
        if found is not None:
            return found
    node = tape.node(op, args)
    if op in CONDITIONS and node.low == node.high:
        return bool(node.low)
    return node


def _neutral(args: tuple[Any, ...]) -> Any:
    first, second = args
    return first if _is(second, 0) else (second if _is(first, 0) else _merged("add", first, second))


def _product(args: tuple[Any, ...]) -> Any:
    first, second = args
    if _is(first, 0) or _is(second, 0):
        return 0
    return first if _is(second, 1) else (second if _is(first, 1) else _merged("mul", first, second))


def _merged(op: str, first: Any, second: Any) -> Any:
    """Whole constants of nested sums and products in one: (n · 2) · 3 = n · 6."""
    node, constant = (first, second) if isinstance(first, Node) else (second, first)
    tape = node.tape
    if isinstance(constant, Node):
        return tape.node(op, (node, constant) if node.index <= constant.index else (constant, node))
    inner = node.args[1] if node.op == op else None
    if isinstance(inner, int) and isinstance(constant, int):
        return _simplified(tape, op, (node.args[0], _ABSORBED[op](inner, constant)))
    return tape.node(op, (node, constant))


def _difference(args: tuple[Any, ...]) -> Any:
    first, second = args
    return 0 if first is second else (first if _is(second, 0) else None)


def _quotient(args: tuple[Any, ...]) -> Any:
    return 0.0 if _is(args[0], 0) else (args[0] if _is(args[1], 1) else None)


def _larger(args: tuple[Any, ...]) -> Any:
    (low, high), (other_low, other_high) = map(_range, args)
    if args[0] is args[1] or low >= other_high:
        return args[0]
    return args[1] if other_low >= high else _slower(*args)


def _slower(first: Any, second: Any) -> Any:
    """max(a / p, a / q) = a / min(p, q) for numbers that are not negative."""
    both = all(isinstance(n, Node) and n.op == "div" for n in (first, second))
    if not both or first.args[0] is not second.args[0]:
        return None
    positive = _range(first.args[0])[0] >= 0 and all(_range(n.args[1])[0] > 0 for n in (first, second))
    if not positive:
        return None
    slowest = _simplified(first.tape, "min", (first.args[1], second.args[1]))
    return _simplified(first.tape, "div", (first.args[0], slowest))


def _smaller(args: tuple[Any, ...]) -> Any:
    (low, high), (other_low, other_high) = map(_range, args)
    return args[0] if args[0] is args[1] or high <= other_low else (args[1] if other_high <= low else None)


def _choice(args: tuple[Any, ...]) -> Any:
    condition, yes, no = args
    if not isinstance(condition, Node):
        return yes if condition else no
    return yes if yes is no or (not isinstance(yes, Node) and not isinstance(no, Node) and yes == no) else None


def _same(equal: bool) -> Callable[[tuple[Any, ...]], Any]:
    def settled(args: tuple[Any, ...]) -> Any:
        (low, high), (other_low, other_high) = map(_range, args)
        if args[0] is args[1]:
            return equal
        return (not equal) if high < other_low or low > other_high else None

    return settled


def _either(args: tuple[Any, ...]) -> Any:
    first, second = args if isinstance(args[0], Node) else args[::-1]
    return None if isinstance(second, Node) else (True if second else first)


def _both(args: tuple[Any, ...]) -> Any:
    first, second = args if isinstance(args[0], Node) else args[::-1]
    return None if isinstance(second, Node) else (first if second else False)


def _whole_up(args: tuple[Any, ...]) -> Any:
    return args[0] if args[0].whole else None


def _is(value: Any, number: int) -> bool:
    return not isinstance(value, Node) and value == number


_RECORDED: Mapping[str, Callable[[tuple[Any, ...]], Any]] = {
    "add": _neutral, "mul": _product, "sub": _difference, "div": _quotient, "max": _larger, "min": _smaller,
    "where": _choice, "eq": _same(True), "ne": _same(False), "or": _either, "and": _both, "ceil": _whole_up,
}  # fmt: skip
