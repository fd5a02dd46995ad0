"""Programs: recorded expressions, evaluated with numpy over a box of axis values in chunks that fit into the cache.

Every expression is evaluated on the axes on which it depends and on no others; numpy's broadcasting brings them
together. The leading axes are walked through, the trailing ones are the chunk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from perfsim.quantities.numbers import Number
from perfsim.quantities.recorder import CONDITIONS, Node
from perfsim.sweeps.steps import LOOPS, reachable

__all__ = ["CHUNK", "FUNCTIONS", "Box", "Layout", "Program", "grouped"]

CHUNK = 1 << 13
"""Points of a chunk [1]: one array of them takes 64 KiB."""

LONGEST = 1 << 18
"""Most points of a chunk along dimensions on which only few expressions depend [1]."""

Array = Any

Layout: TypeAlias = tuple[tuple[int, ...], tuple[tuple[str, int], ...]]
"""Sizes of a box, and the dimension of each leaf: all that the order of an evaluation depends on."""

FUNCTIONS: Mapping[str, Any] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "floordiv": np.floor_divide,
    "mod": np.mod, "pow": np.power, "max": np.maximum, "min": np.minimum, "ceil": np.ceil, "round": np.rint,
    "lt": np.less, "le": np.less_equal, "eq": np.equal, "ne": np.not_equal, "or": np.logical_or,
    "and": np.logical_and, "not": np.logical_not, "where": np.where,
}  # fmt: skip
"""What evaluates each operation."""


@dataclass(frozen=True, eq=False)
class Box:
    """Values of the leaves: every combination of the rows of its dimensions.

    sizes: rows per dimension; columns: leaf → (its dimension, its value in each row); dimension -1: one fixed value.
    """

    sizes: tuple[int, ...]
    columns: Mapping[str, tuple[int, Array]]

    @property
    def layout(self) -> Layout:
        """What boxes have in common that differ in values alone."""
        return self.sizes, tuple(sorted((name, d) for name, (d, _) in self.columns.items()))

    def leaf(self, name: str) -> Array:
        """Values of a leaf, shaped so that they lie along their dimension."""
        dimension, values = self.columns[name]
        shape = [1] * len(self.sizes)
        if dimension >= 0:
            shape[dimension] = len(values)
        return np.asarray(values, dtype=float).reshape(shape)

    def dimensions(self, leaves: frozenset[str]) -> frozenset[int]:
        """Dimensions of more than one row along which an expression of these leaves varies."""
        return frozenset(d for d in (self.columns[n][0] for n in leaves) if d >= 0 and self.sizes[d] > 1)

    def transposed(self, order: Sequence[int]) -> Box:
        """The box with its dimensions in another order."""
        place = {d: i for i, d in enumerate(order)} | {-1: -1}
        return Box(tuple(self.sizes[d] for d in order), {n: (place[d], v) for n, (d, v) in self.columns.items()})

    def select(self, dimension: int, rows: Array) -> Box:
        """The box with some rows of one dimension."""
        sizes = tuple(len(rows) if d == dimension else n for d, n in enumerate(self.sizes))
        columns = {n: (d, np.asarray(v)[rows] if d == dimension else v) for n, (d, v) in self.columns.items()}
        return Box(sizes, columns)


def _number(value: Number) -> Number:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _split(sizes: Sequence[int], busy: Sequence[bool]) -> tuple[int, int]:
    """How many leading dimensions are walked through, and how many rows of the last of them at once.

    busy: dimensions on which most expressions depend; arrays along the others are few, so they may be longer.
    """
    inner = whole = 1
    walked = len(sizes)
    while walked:
        counted = sizes[walked - 1] if busy[walked - 1] else 1
        if inner * counted > CHUNK or whole * sizes[walked - 1] > LONGEST:
            break
        walked -= 1
        inner, whole = inner * counted, whole * sizes[walked]
    return walked, max(1, min(CHUNK // inner, LONGEST // whole))


@dataclass(frozen=True, eq=False)
class _Order:
    """Expressions of one level of the walk, in order, each with those that nobody needs any more behind it."""

    steps: tuple[tuple[Node, tuple[int, ...]], ...]


class Program:
    """Expressions by name, without steps of a decode except in loops."""

    def __init__(self, outputs: Mapping[str, Number]) -> None:
        self.outputs = grouped(outputs)
        self._walks: dict[Layout, _Walk] = {}

    @cached_property
    def nodes(self) -> list[Node]:
        """All expressions, each behind those that it needs; what only a loop needs is left out."""
        found = reachable(self.outputs.values())
        needed: set[int] = {v.index for v in self.outputs.values() if isinstance(v, Node)}
        for node in reversed(found):
            if node.index in needed:
                args = node.args[0].position.args if node.op in LOOPS else node.args
                inside = _loop_inputs(node) if node.op in LOOPS else ()
                needed.update(a.index for a in (*args, *inside) if isinstance(a, Node))
        return [node for node in found if node.index in needed]

    @cached_property
    def loops(self) -> bool:
        """Whether some sum visits every position."""
        return any(node.op in LOOPS for node in self.nodes)

    def evaluate(self, box: Box, workers: int = 1) -> dict[str, Array]:
        """Values of the outputs; each has the rows of the dimensions it depends on, and one row elsewhere."""
        if box.layout not in self._walks:
            self._walks[box.layout] = _Walk(self, box)
        with np.errstate(all="ignore"):
            return self._walks[box.layout].run(box, workers)


def grouped(outputs: Mapping[str, Number]) -> dict[str, Number]:
    """``outputs`` with the addends of each sum ordered by the leaves they depend on: those that depend on few come
    first, so that less is added on all points.
    """
    nodes = reachable(outputs.values())
    uses: dict[int, int] = {}
    for node in nodes:
        for arg in node.args:
            if isinstance(arg, Node):
                uses[arg.index] = uses.get(arg.index, 0) + 1
    new: dict[int, Number] = {}

    def renewed(value: Number) -> Number:
        return new.get(value.index, value) if isinstance(value, Node) else value

    inside = {a.index for n in nodes if n.op == "add" for a in n.args if isinstance(a, Node) and uses[a.index] == 1}
    for node in nodes:
        if node.op in ("leaf", "position"):
            new[node.index] = node
        elif node.op == "add" and node.index not in inside:
            new[node.index] = _ordered_sum([renewed(part) for part in _addends(node, uses)])
        elif not (node.op == "add" and node.index in inside):
            args = tuple(renewed(a) for a in node.args)
            same = all(a is b for a, b in zip(args, node.args, strict=True)) or node.op in LOOPS
            new[node.index] = node if same else node.record(node.op, *args)
    return {name: renewed(value) for name, value in outputs.items()}


def _addends(node: Node, uses: Mapping[int, int]) -> list[Number]:
    parts: list[Number] = []
    waiting: list[Number] = list(node.args)
    while waiting:
        part = waiting.pop()
        if isinstance(part, Node) and part.op == "add" and uses[part.index] == 1:
            waiting += part.args
        else:
            parts.append(part)
    return parts


def _ordered_sum(parts: list[Number]) -> Number:
    groups: dict[frozenset[str], Number] = {}
    for part in parts:
        leaves = part.leaves if isinstance(part, Node) else frozenset[str]()
        groups[leaves] = groups[leaves] + part if leaves in groups else part
    total: Number = 0
    for leaves in sorted(groups, key=lambda found: (len(found), sorted(found))):
        total = total + groups[leaves]
    return total


def _loop_inputs(node: Node) -> list[Node]:
    """What the body of a loop needs from outside."""
    body = [n for n in reachable([node.args[0]]) if n.position is not None]
    return [a for n in body for a in n.args if isinstance(a, Node) and a.position is None]


class _Walk:
    """Evaluation of boxes of one layout: which dimensions are walked through, and what is evaluated when."""

    def __init__(self, program: Program, box: Box) -> None:
        self._program = program
        usage = [0] * len(box.sizes)
        for node in program.nodes:
            for d in box.dimensions(node.leaves):
                usage[d] += 1
        self._order = sorted(range(len(box.sizes)), key=lambda d: (-usage[d], box.sizes[d]))
        self._box = box.transposed(self._order)
        busy = [usage[d] * 2 > max(usage, default=0) for d in self._order]
        self._walked, run = _split(self._box.sizes, busy)
        self._slices = [
            [slice(i, i + step) for i in range(0, n, step)]
            for d, n in enumerate(self._box.sizes[: self._walked])
            for step in [run if d == self._walked - 1 else 1]
        ]
        self._orders = self._levels()
        found = [(n, v, self._level(v)) for n, v in program.outputs.items() if isinstance(v, Node)]
        self._stored = [[(n, v) for n, v, at in found if at == level] for level in range(-1, self._walked)]

    def _level(self, node: Node) -> int:
        return max((d for d in self._box.dimensions(node.leaves) if d < self._walked), default=-1)

    def _levels(self) -> list[_Order]:
        levels: list[list[Node]] = [[] for _ in range(self._walked + 1)]
        level = {node.index: self._level(node) for node in self._program.nodes}
        users: dict[int, list[Node]] = {}
        for node in self._program.nodes:
            levels[level[node.index] + 1].append(node)
            for arg in (*node.args, *(_loop_inputs(node) if node.op in LOOPS else ())):
                if isinstance(arg, Node) and arg.index in level:
                    users.setdefault(arg.index, []).append(node)
        kept = {v.index for v in self._program.outputs.values() if isinstance(v, Node)}
        dead: dict[int, list[int]] = {}
        for index, found in users.items():
            if index not in kept and {level[node.index] for node in found} == {level[index]}:
                dead.setdefault(found[-1].index, []).append(index)
        return [_Order(tuple((n, tuple(dead.get(n.index, ()))) for n in nodes)) for nodes in levels]

    def run(self, given: Box, workers: int) -> dict[str, Array]:
        box, program = given.transposed(self._order), self._program
        results = {}
        for name, value in program.outputs.items():
            if isinstance(value, Node):
                along = box.dimensions(value.leaves)
                kind = bool if value.op in CONDITIONS else float
                results[name] = np.empty([n if d in along else 1 for d, n in enumerate(box.sizes)], dtype=kind)
            else:
                results[name] = np.full([1] * len(box.sizes), _number(value))
        base: dict[Any, Array] = {name: box.leaf(name) for name in box.columns}
        self._fill(0, base, ())
        self._store(-1, base, (), results)
        total = int(np.prod([len(s) for s in self._slices], dtype=int)) if self._walked else 0
        parts = min(workers, total) or 1
        edges = [total * i // parts for i in range(parts + 1)]
        jobs = [(dict(base), a, b, results) for a, b in pairwise(edges) if b > a]
        if len(jobs) > 1:
            with ThreadPoolExecutor(parts) as pool:
                list(pool.map(lambda job: self._part(*job), jobs))
        else:
            for job in jobs:
                self._part(*job)
        back = [self._order.index(d) for d in range(len(self._order))]
        return {name: value.transpose(back) for name, value in results.items()}

    def _part(self, values: dict[Any, Array], start: int, stop: int, results: dict[str, Array]) -> None:
        counts = [len(s) for s in self._slices]
        before: tuple[int, ...] = (-1,) * self._walked
        with np.errstate(all="ignore"):
            for flat in range(start, stop):
                index = np.unravel_index(flat, counts)
                changed = next(d for d in range(self._walked) if index[d] != before[d])
                at = tuple(self._slices[d][i] for d, i in enumerate(index))
                for level in range(changed, self._walked):
                    self._fill(level + 1, values, at)
                    self._store(level, values, at, results)
                before = tuple(int(i) for i in index)

    def _fill(self, order: int, values: dict[Any, Array], at: tuple[slice, ...]) -> None:
        for node, dead in self._orders[order].steps:
            if node.op == "leaf":
                dimension, _ = self._box.columns[node.args[0]]
                leaf = values[node.args[0]]
                if 0 <= dimension < len(at):
                    leaf = leaf[(slice(None),) * dimension + (at[dimension],)]
                values[node.index] = leaf
            elif node.op in LOOPS:
                values[node.index] = _loop(node, values)
            else:
                values[node.index] = FUNCTIONS[node.op](
                    *[values[a.index] if isinstance(a, Node) else _number(a) for a in node.args]
                )
            for index in dead:
                values.pop(index, None)

    def _store(self, level: int, values: dict[Any, Array], at: tuple[slice, ...], results: dict[str, Array]) -> None:
        for name, node in self._stored[level + 1]:
            target = results[name]
            where = tuple(s if target.shape[d] > 1 else slice(None) for d, s in enumerate(at))
            target[where] = values[node.index]


def _loop(node: Node, values: Mapping[int, Array]) -> Array:
    """A sum or maximum position by position."""
    value = node.args[0]
    start, steps = (values[a.index] if isinstance(a, Node) else float(a) for a in value.position.args)
    body = [n for n in reachable([value]) if n.position is not None]
    total: Array = 0.0 if node.op == "loop_sum" else -np.inf
    for i in range(int(np.max(steps))):
        inside: dict[int, Array] = {}
        for n in body:
            args = [_look(a, inside, values) for a in n.args]
            inside[n.index] = start + i if n.op == "position" else FUNCTIONS[n.op](*args)
        at = inside[value.index]
        running = steps > i
        total = (
            np.where(running, total + at, total)
            if node.op == "loop_sum"
            else np.where(running, np.maximum(total, at), total)
        )
    return total


def _look(arg: Number, inside: Mapping[int, Array], values: Mapping[int, Array]) -> Array:
    if not isinstance(arg, Node):
        return _number(arg)
    return inside[arg.index] if arg.position is not None else values[arg.index]
