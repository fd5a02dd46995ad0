"""A machine for programs, compiled by numba: every instruction works on rows of values that stay in the cache.

It knows no program, programs are data for it. So it is compiled once and kept on disk, whatever is swept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

__all__ = ["NUMBERS", "SPLAT", "SPREAD", "STORE", "run"]

SPLAT, SPREAD, STORE = 0, 1, 2
"""Instructions that fetch one number for the whole row, fetch one for each place of it, and keep a row."""

ADD, SUB, MUL, DIV, MAX, MIN, CEIL, ROUND, FLOORDIV, MOD, POW = range(3, 14)
LT, LE, EQ, NE, OR, AND, NOT, WHERE = range(14, 22)

NUMBERS = {
    "add": ADD, "sub": SUB, "mul": MUL, "div": DIV, "max": MAX, "min": MIN, "ceil": CEIL, "round": ROUND,
    "floordiv": FLOORDIV, "mod": MOD, "pow": POW, "lt": LT, "le": LE, "eq": EQ, "ne": NE, "or": OR, "and": AND,
    "not": NOT, "where": WHERE,
}  # fmt: skip
"""Instruction of each operation; truth is 1, its opposite 0."""


def _made(function: Callable[..., None]) -> Any:
    """The function compiled, and kept on disk if there is a place for it."""
    try:
        return numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # neither the folder of this file nor that of the user can be written
        return numba.njit(nogil=True, error_model="numpy")(function)


@_made
def run(
    code: Any, strides: Any, sizes: Any, patterns: Any, inner: int, innermost: int, first: int, last: int,
    memory: Any, rows: Any,
) -> None:  # fmt: skip
    """Run ``code`` over the pieces ``first`` … ``last`` - 1 of a block.

    A piece lies in the inner dimensions of the block, and is as long as a row of ``rows`` or as what is left of them.

    code: [instruction, 5], each (operation, row, then rows that it needs; or an address in ``memory``, a pattern, and
    whether the table varies along the innermost dimension); strides: [pattern, outer dimension], step in a table for
    each row of that dimension; sizes: rows of the outer dimensions; patterns: [pattern, inner point], its place in a
    table; inner: points of the inner dimensions; innermost: rows of the last of them; rows: scratch [row, place].
    """
    width = rows.shape[1]
    pieces = (inner + width - 1) // width
    bases = np.zeros(strides.shape[0], dtype=np.int64)
    for piece in range(first, last):
        outer, begin = piece // pieces, (piece % pieces) * width
        n, place = min(width, inner - begin), outer * inner + begin
        bases[:] = 0
        for d in range(len(sizes) - 1, -1, -1):
            bases += strides[:, d] * (outer % sizes[d])
            outer //= sizes[d]
        for k in range(code.shape[0]):
            op, o, a, b, c = code[k, 0], code[k, 1], code[k, 2], code[k, 3], code[k, 4]
            if op == SPLAT:
                rows[o, :n] = memory[a + bases[b]]
            elif op == SPREAD:
                _spread(memory, a + bases[b], patterns[b], c, innermost, rows[o], begin, n)
            elif op == STORE:
                memory[a + place : a + place + n] = rows[o, :n]
            elif op < LT:
                _count(op, rows, o, a, b, n)
            else:
                _decide(op, rows, o, a, b, c, n)


@_made
def _spread(memory: Any, base: int, pattern: Any, varies: int, innermost: int, row: Any, begin: int, n: int) -> None:
    """Fetch a table, row by row of the innermost dimension."""
    i = 0
    while i < n:
        start = base + pattern[begin + i]
        end = min(n, i + innermost - (begin + i) % innermost)
        if varies:
            for j in range(i, end):
                row[j] = memory[start + j - i]
        else:
            row[i:end] = memory[start]
        i = end


@_made
def _count(op: int, rows: Any, o: int, a: int, b: int, n: int) -> None:  # noqa: C901 - one case each
    if op == ADD:
        for i in range(n):
            rows[o, i] = rows[a, i] + rows[b, i]
    elif op == SUB:
        for i in range(n):
            rows[o, i] = rows[a, i] - rows[b, i]
    elif op == MUL:
        for i in range(n):
            rows[o, i] = rows[a, i] * rows[b, i]
    elif op == DIV:
        for i in range(n):
            rows[o, i] = rows[a, i] / rows[b, i]
    elif op == MAX:
        for i in range(n):
            x, y = rows[a, i], rows[b, i]
            rows[o, i] = x if x > y or x != x else y
    elif op == MIN:
        for i in range(n):
            x, y = rows[a, i], rows[b, i]
            rows[o, i] = x if x < y or x != x else y
    elif op == CEIL:
        for i in range(n):
            rows[o, i] = np.ceil(rows[a, i])
    elif op == ROUND:
        for i in range(n):
            rows[o, i] = np.rint(rows[a, i])
    elif op == FLOORDIV:
        for i in range(n):
            rows[o, i] = rows[a, i] // rows[b, i]
    elif op == MOD:
        for i in range(n):
            rows[o, i] = rows[a, i] % rows[b, i]
    else:
        for i in range(n):
            rows[o, i] = rows[a, i] ** rows[b, i]


@_made
def _decide(op: int, rows: Any, o: int, a: int, b: int, c: int, n: int) -> None:  # noqa: C901 - one case each
    if op == WHERE:
        for i in range(n):
            x, y = rows[b, i], rows[c, i]
            rows[o, i] = x if rows[a, i] != 0.0 else y
    elif op == LT:
        for i in range(n):
            rows[o, i] = 1.0 if rows[a, i] < rows[b, i] else 0.0
    elif op == LE:
        for i in range(n):
            rows[o, i] = 1.0 if rows[a, i] <= rows[b, i] else 0.0
    elif op == EQ:
        for i in range(n):
            rows[o, i] = 1.0 if rows[a, i] == rows[b, i] else 0.0
    elif op == NE:
        for i in range(n):
            rows[o, i] = 1.0 if rows[a, i] != rows[b, i] else 0.0
    elif op == OR:
        for i in range(n):
            rows[o, i] = max(rows[a, i], rows[b, i])
    elif op == AND:
        for i in range(n):
            rows[o, i] = rows[a, i] * rows[b, i]
    else:
        for i in range(n):
            rows[o, i] = 1.0 - rows[a, i]
