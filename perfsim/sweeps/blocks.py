"""Programs as instructions for :mod:`perfsim.sweeps.machine`.

Expressions that vary along the same dimensions are a block: its instructions run over all points of these dimensions,
in rows that stay in the cache. What a block needs from another lies in one memory, in which every value has the points
of its own dimensions and no others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import TypeAlias

import numpy as np

from perfsim.quantities.numbers import Number
from perfsim.quantities.recorder import Node
from perfsim.sweeps.program import Array, Layout, Program

__all__ = ["WIDTH", "Block", "Plan", "key_of", "planned"]

WIDTH = 512
"""Places of a row [1]: one of them takes 4 KiB."""

INNER = 256
"""Points that the inner dimensions of a block have at least [1], as far as there are so many."""

Dims: TypeAlias = tuple[int, ...]
Key: TypeAlias = int | tuple[str, float]
Instruction: TypeAlias = tuple[int, int, int, int, int]


def key_of(value: Number) -> Key:
    """What a value is known by: an expression by its index, a constant by itself."""
    return value.index if isinstance(value, Node) else ("constant", float(value))


@dataclass(frozen=True, eq=False)
class Block:
    """Instructions over all points of some dimensions; the fields are explained at
    :func:`perfsim.sweeps.machine.run`. pieces: how many there are; rows: how many rows of scratch it takes.
    """

    code: Array
    strides: Array
    sizes: Array
    patterns: Array
    inner: int
    innermost: int
    pieces: int
    rows: int


@dataclass(frozen=True, eq=False)
class Plan:
    """Where everything lies in memory, and what is run.

    length: numbers in memory [1]; places: address and dimensions of values; constants and leaves: what is put there
    before anything runs.
    """

    length: int
    places: Mapping[Key, tuple[int, Dims]]
    constants: Sequence[tuple[float, int]]
    leaves: Sequence[tuple[str, int]]
    blocks: Sequence[Block]


@lru_cache(maxsize=64)
def planned(program: Program, layout: Layout) -> Plan:
    """The plan of a program without loops, for boxes of one layout."""
    sizes, columns = layout
    where = dict(columns)
    dims = {
        node.index: tuple(d for d in sorted({where[n] for n in node.leaves}) if d >= 0 and sizes[d] > 1)
        for node in program.nodes
    }
    groups: dict[Dims, list[Node]] = {}
    kept: list[Number] = list(program.outputs.values())
    for node in program.nodes:
        if node.op == "leaf":
            kept.append(node)
            continue
        groups.setdefault(dims[node.index], []).append(node)
        kept += [a for a in node.args if not isinstance(a, Node) or dims[a.index] != dims[node.index]]
    places: dict[Key, tuple[int, Dims]] = {}
    length = 0
    for value in kept:
        along = dims[value.index] if isinstance(value, Node) else ()
        if key_of(value) not in places:
            places[key_of(value)] = (length, along)
            length += prod(sizes[d] for d in along)
    constants = [(key[1], address) for key, (address, _) in places.items() if isinstance(key, tuple)]
    leaves = [(node.args[0], places[node.index][0]) for node in program.nodes if node.op == "leaf"]
    order = sorted(groups, key=lambda found: (len(found), found))  # arguments vary along no more than what needs them
    return Plan(length, places, constants, leaves, [_block(groups[along], along, places, sizes) for along in order])


def _block(nodes: Sequence[Node], along: Dims, places: Mapping[Key, tuple[int, Dims]], sizes: Sequence[int]) -> Block:
    split = len(along)
    while split and prod(sizes[d] for d in along[split:]) < INNER:
        split -= 1
    outside, inside = along[:split], along[split:]
    writer = _Writer(nodes, places, inside)
    inner = prod(sizes[d] for d in inside)
    strides = [[_stride(support, d, sizes) for d in outside] for support in writer.supports]
    patterns = np.zeros((len(writer.supports), inner), dtype=np.int32)
    for g, support in enumerate(writer.supports):
        places_of = np.zeros([sizes[d] for d in inside], dtype=np.int32)
        for axis, d in enumerate(inside):
            steps = _stride(support, d, sizes) * np.arange(sizes[d], dtype=np.int32)
            places_of += steps.reshape([-1 if other == axis else 1 for other in range(len(inside))])
        patterns[g] = places_of.ravel()
    return Block(
        np.array(writer.code, dtype=np.int64),
        np.array(strides, dtype=np.int64).reshape(len(writer.supports), split),
        np.array([sizes[d] for d in outside], dtype=np.int64),
        patterns, inner, sizes[along[-1]] if along else 1, prod(sizes[d] for d in outside) * -(-inner // WIDTH),
        writer.rows,
    )  # fmt: skip


def _stride(support: Dims, dimension: int, sizes: Sequence[int]) -> int:
    """Step in a table of some dimensions when one of them advances by a row."""
    return prod(sizes[d] for d in support if d > dimension) if dimension in support else 0


class _Writer:
    """Writes the instructions of one block; a row is used again as soon as nobody needs it any more.

    code: the instructions; rows: how many rows they take; supports: dimensions of the tables that they fetch.
    """

    def __init__(self, nodes: Sequence[Node], places: Mapping[Key, tuple[int, Dims]], inside: Dims) -> None:
        self._places, self._inside = places, inside
        self._row_of: dict[Key, int] = {}
        self._free: list[int] = []
        self._last = {key_of(arg): i for i, node in enumerate(nodes) for arg in node.args}
        self.code: list[Instruction] = []
        self.rows = 0
        self.supports: list[Dims] = []
        for i, node in enumerate(nodes):
            self._write(i, node)

    def _write(self, i: int, node: Node) -> None:
        from perfsim.sweeps.machine import NUMBERS, STORE

        keys = [key_of(arg) for arg in node.args]
        first, second, third = [*map(self._fetched, keys), 0, 0][:3]
        self._free += [self._row_of.pop(key) for key in set(keys) if self._last[key] == i]
        row = self._new()
        self.code.append((NUMBERS[node.op], row, first, second, third))
        if node.index in self._places:
            self.code.append((STORE, row, self._places[node.index][0], 0, 0))
        if node.index in self._last:
            self._row_of[node.index] = row
        else:
            self._free.append(row)

    def _new(self) -> int:
        if self._free:
            return self._free.pop()
        self.rows += 1
        return self.rows - 1

    def _fetched(self, key: Key) -> int:
        """The row that holds a value; from memory if none does yet."""
        from perfsim.sweeps.machine import SPLAT, SPREAD

        if key not in self._row_of:
            address, along = self._places[key]
            if along not in self.supports:
                self.supports.append(along)
            op = SPREAD if set(along) & set(self._inside) else SPLAT
            varies = int(op == SPREAD and along[-1] == self._inside[-1])
            self._row_of[key] = self._new()
            self.code.append((op, self._row_of[key], address, self.supports.index(along), varies))
        return self._row_of[key]
