"""Programs: recorded expressions, evaluated with numpy over a box of axis values in chunks that fit into the cache.

Every expression is evaluated on the axes on which it depends and on no others; numpy's broadcasting brings them
together. The leading axes are walked through, the trailing ones are the chunk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from perfsim.quantities.numbers import Number
from perfsim.quantities.recorder import CONDITIONS, Node
from perfsim.sweeps.steps import LOOPS, reachable

__all__ = ["CHUNK", "FUNCTIONS", "Box", "Program", "evaluate_node"]

CHUNK = 1 << 13
"""Points of a chunk [1]: one array of them takes 64 KiB."""

Array = Any

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

    sizes: rows per dimension; columns: leaf → (its dimension, its value in each row).
    """

    sizes: tuple[int, ...]
    columns: Mapping[str, tuple[int, Array]]

    def leaf(self, name: str) -> Array:
        """Values of a leaf, shaped so that they lie along their dimension."""
        dimension, values = self.columns[name]
        shape = [1] * len(self.sizes)
        shape[dimension] = len(values)
        return np.asarray(values, dtype=float).reshape(shape)

    def dimensions(self, leaves: frozenset[str]) -> frozenset[int]:
        """Dimensions of more than one row along which an expression of these leaves varies."""
        return frozenset(d for d in (self.columns[n][0] for n in leaves) if self.sizes[d] > 1)

    def select(self, dimension: int, rows: Array) -> Box:
        """The box with some rows of one dimension."""
        sizes = tuple(len(rows) if d == dimension else n for d, n in enumerate(self.sizes))
        columns = {n: (d, np.asarray(v)[rows] if d == dimension else v) for n, (d, v) in self.columns.items()}
        return Box(sizes, columns)


def _number(value: Number) -> Number:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def evaluate_node(node: Node, args: Sequence[Array]) -> Array:
    """Value of an expression that is no leaf and no loop, from those of its arguments."""
    return FUNCTIONS[node.op](*args)


@dataclass(frozen=True, eq=False)
class _Order:
    """Expressions of one level of the walk, in order, each with those that nobody needs any more behind it."""

    steps: tuple[tuple[Node, tuple[int, ...]], ...]


class Program:
    """Expressions by name, without steps of a decode except in loops."""

    def __init__(self, outputs: Mapping[str, Number]) -> None:
        self.outputs = dict(outputs)

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
        with np.errstate(all="ignore"):
            return _Walk(self, box).run(workers)


def _loop_inputs(node: Node) -> list[Node]:
    """What the body of a loop needs from outside."""
    body = [n for n in reachable([node.args[0]]) if n.position is not None]
    return [a for n in body for a in n.args if isinstance(a, Node) and a.position is None]


class _Walk:
    """One evaluation: which dimensions are walked through, and what is evaluated when."""

    def __init__(self, program: Program, box: Box) -> None:
        self._program, self._box = program, box
        inner, split = 1, len(box.sizes)
        while split and inner * box.sizes[split - 1] <= CHUNK:
            split -= 1
            inner *= box.sizes[split]
        self._walked = split
        run = max(1, CHUNK // inner)
        self._slices = [
            [slice(i, i + (run if d == split - 1 else 1)) for i in range(0, n, run if d == split - 1 else 1)]
            for d, n in enumerate(box.sizes[:split])
        ]
        self._orders = self._levels()

    def _level(self, node: Node) -> int:
        return max((d for d in self._box.dimensions(node.leaves) if d < self._walked), default=-1)

    def _levels(self) -> list[_Order]:
        levels: list[list[Node]] = [[] for _ in range(self._walked + 1)]
        last: dict[int, Node] = {}
        for node in self._program.nodes:
            levels[self._level(node) + 1].append(node)
            for arg in (*node.args, *(_loop_inputs(node) if node.op in LOOPS else ())):
                if isinstance(arg, Node):
                    last[arg.index] = node
        kept = {v.index for v in self._program.outputs.values() if isinstance(v, Node)}
        level = {node.index: self._level(node) for node in self._program.nodes}
        dead: dict[int, list[int]] = {}
        for index, node in last.items():
            if index in level and index not in kept and level[index] == level[node.index]:
                dead.setdefault(node.index, []).append(index)
        return [_Order(tuple((n, tuple(dead.get(n.index, ()))) for n in nodes)) for nodes in levels]

    def run(self, workers: int) -> dict[str, Array]:
        box, program = self._box, self._program
        results = {}
        for name, value in program.outputs.items():
            if isinstance(value, Node):
                along = box.dimensions(value.leaves)
                kind = bool if value.op in CONDITIONS else float
                results[name] = np.empty([n if d in along else 1 for d, n in enumerate(box.sizes)], dtype=kind)
            else:
                results[name] = np.full([1] * len(box.sizes), _number(value))
        base: dict[int, Array] = {}
        self._fill(0, base, ())
        self._store(-1, base, (), results)
        total = int(np.prod([len(s) for s in self._slices], dtype=int)) if self._walked else 0
        parts = min(workers, total) or 1
        edges = [total * i // parts for i in range(parts + 1)]
        jobs = [(dict(base), a, b, results) for a, b in zip(edges, edges[1:], strict=False) if b > a]
        if len(jobs) > 1:
            with ThreadPoolExecutor(parts) as pool:
                list(pool.map(lambda job: self._part(*job), jobs))
        else:
            for job in jobs:
                self._part(*job)
        return results

    def _part(self, values: dict[int, Array], start: int, stop: int, results: dict[str, Array]) -> None:
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

    def _fill(self, order: int, values: dict[int, Array], at: tuple[slice, ...]) -> None:
        for node, dead in self._orders[order].steps:
            if node.op == "leaf":
                dimension, _ = self._box.columns[node.args[0]]
                leaf = self._box.leaf(node.args[0])
                if dimension < len(at):
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

    def _store(self, level: int, values: dict[int, Array], at: tuple[slice, ...], results: dict[str, Array]) -> None:
        for name, node in self._program.outputs.items():
            if isinstance(node, Node) and self._level(node) == level:
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
        total = np.where(running, total + at, total) if node.op == "loop_sum" else np.where(
            running, np.maximum(total, at), total
        )
    return total


def _look(arg: Number, inside: Mapping[int, Array], values: Mapping[int, Array]) -> Array:
    if not isinstance(arg, Node):
        return _number(arg)
    return inside[arg.index] if arg.position is not None else values[arg.index]
