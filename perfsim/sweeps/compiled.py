"""Programs compiled by numba, for the ``compiled`` extra: the same expressions as loops over machine numbers.

What depends on few axes is evaluated by numpy first and read from tables; what depends on most of them is one
compiled loop; what also depends on axes that hardly matter (a capacity, which decides ``fits`` alone) is evaluated by
numpy behind it. The text of the loop holds neither constants nor sizes, so that one compilation serves all variants of
equal structure.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from perfsim.errors import InputError
from perfsim.quantities.recorder import CONDITIONS, Node
from perfsim.sweeps.program import FUNCTIONS, Array, Box, Program

__all__ = ["evaluate_compiled", "is_there"]

SMALL = 8
"""Expressions on fewer than one in so many points of the loop are tables."""

LARGEST = 1000
"""Expressions of the largest loop that is compiled: beyond it compiling takes minutes, and the loop is no faster than
numpy, because its numbers do not fit into the registers."""

_TEXT: Mapping[str, str] = {
    "add": "({0} + {1})", "sub": "({0} - {1})", "mul": "({0} * {1})", "div": "({0} / {1})",
    "floordiv": "np.floor({0} / {1})", "mod": "({0} % {1})", "pow": "({0} ** {1})",
    "max": "({0} if {0} > {1} else {1})", "min": "({0} if {0} < {1} else {1})", "ceil": "np.ceil({0})",
    "round": "np.rint({0})", "lt": "({0} < {1})", "le": "({0} <= {1})", "eq": "({0} == {1})", "ne": "({0} != {1})",
    "or": "({0} or {1})", "and": "({0} and {1})", "not": "(not {0})", "where": "({1} if {0} else {2})",
}  # fmt: skip


def is_there() -> bool:
    """Whether numba is installed."""
    return importlib.util.find_spec("numba") is not None


def evaluate_compiled(program: Program, box: Box, threads: int) -> dict[str, Array]:
    """As :meth:`Program.evaluate`, with compiled loops where these are not too large.

    Raises
    ------
    InputError
        if numba is not installed.
    """
    if not is_there():
        raise InputError("compiled=True needs numba; install it with: pip install perfsim[compiled]")
    stages = _stages(program, box)
    if not 0 < len(stages.core) <= LARGEST:
        return program.evaluate(box, threads)
    values = _tables(stages, box)
    values.update(_loop(stages, box, values, threads))
    with np.errstate(all="ignore"):
        for node in stages.after:
            values[node.index] = FUNCTIONS[node.op](*[_value(a, values) for a in node.args])
    results = {}
    for name, output in program.outputs.items():
        value = np.asarray(_value(output, values))
        kind = bool if isinstance(output, Node) and output.op in CONDITIONS else float
        results[name] = value.reshape(value.shape or (1,) * len(box.sizes)).astype(kind, copy=False)
    return results


def _value(arg: Any, values: Mapping[int, Array]) -> Array:
    return values[arg.index] if isinstance(arg, Node) else float(arg)


@dataclass(frozen=True, eq=False)
class _Stages:
    """Expressions by who evaluates them; dims: dimensions of the loop, the last one innermost."""

    before: list[Node]
    core: list[Node]
    after: list[Node]
    results: list[Node]
    dims: tuple[int, ...]
    along: Mapping[int, frozenset[int]]


def _stages(program: Program, box: Box) -> _Stages:
    along = {node.index: box.dimensions(node.leaves) for node in program.nodes}
    usage = [sum(d in found for found in along.values()) for d in range(len(box.sizes))]
    busy = frozenset(d for d, used in enumerate(usage) if used and used * 2 > max(usage))
    dims = tuple(sorted(busy, key=lambda d: box.sizes[d]))
    points = prod(box.sizes[d] for d in dims)
    before, core, after, late = [], [], [], set[int]()
    for node in program.nodes:
        found = along[node.index]
        if not found <= busy or any(isinstance(a, Node) and a.index in late for a in node.args):
            late.add(node.index)
            after.append(node)
        elif node.op == "leaf" or prod(box.sizes[d] for d in found) * SMALL < points or not found:
            before.append(node)
        else:
            core.append(node)
    leaves = [node for node in after if node.op == "leaf"]
    before, after = before + leaves, [node for node in after if node.op != "leaf"]
    inside = {node.index for node in core}
    needed = {a.index for node in after for a in node.args if isinstance(a, Node)}
    needed |= {value.index for value in program.outputs.values() if isinstance(value, Node)}
    return _Stages(before, core, after, [n for n in core if n.index in needed & inside], dims, along)


def _tables(stages: _Stages, box: Box) -> dict[int, Array]:
    values: dict[int, Array] = {}
    with np.errstate(all="ignore"):
        for node in stages.before:
            if node.op == "leaf":
                values[node.index] = box.leaf(node.args[0])
            else:
                values[node.index] = FUNCTIONS[node.op](*[_value(a, values) for a in node.args])
    return values


def _loop(stages: _Stages, box: Box, values: Mapping[int, Array], threads: int) -> dict[int, Array]:
    """Values of the results of the compiled loop."""
    import numba

    inside = {node.index for node in stages.core}
    used: dict[int, Node] = {}
    constants: list[float] = []
    for node in stages.core:
        for arg in node.args:
            if isinstance(arg, Node) and arg.index not in inside:
                used[arg.index] = arg
            elif not isinstance(arg, Node):
                constants.append(float(arg))
    tables = list(used.values())
    supports = sorted({stages.along[t.index] for t in tables}, key=sorted)
    flat = [np.ravel(np.broadcast_to(values[t.index], _shape(box, stages.along[t.index]))) for t in tables]
    starts = np.cumsum([0, *(len(f) for f in flat)])[:-1]
    text = _source(stages, tables, supports)
    sizes = tuple(box.sizes[d] for d in stages.dims)
    strides = np.array([[_stride(box, s, d) for d in stages.dims] for s in supports], dtype=np.int64)
    out = np.empty((len(stages.results), prod(sizes)))
    numba.set_num_threads(max(1, min(threads, os.cpu_count() or 1)))
    packed = np.concatenate(flat).astype(float) if flat else np.zeros(1)
    _compiled(text)(
        np.array(sizes, dtype=np.int64), packed, starts.astype(np.int64), strides.reshape(len(supports), len(sizes)),
        np.array(constants or [0.0]), out,
    )  # fmt: skip
    shape = [box.sizes[d] for d in stages.dims]
    order = sorted(range(len(stages.dims)), key=lambda i: stages.dims[i])
    full = [n if d in stages.dims else 1 for d, n in enumerate(box.sizes)]
    return {
        n.index: row.reshape(shape).transpose(order).reshape(full) for n, row in zip(stages.results, out, strict=True)
    }


def _shape(box: Box, along: frozenset[int]) -> tuple[int, ...]:
    return tuple(n if d in along else 1 for d, n in enumerate(box.sizes))


def _stride(box: Box, along: frozenset[int], dimension: int) -> int:
    """Step in a table of some dimensions when one of them advances by a row."""
    return prod(box.sizes[d] for d in along if d > dimension) if dimension in along else 0


def _source(stages: _Stages, tables: Sequence[Node], supports: Sequence[frozenset[int]]) -> str:
    """The loop as text: what does not vary along the innermost dimension is evaluated outside of it."""
    last = stages.dims[-1]
    names = {t.index: f"t{k}" for k, t in enumerate(tables)}
    outer, inner = [], []
    count = len(stages.dims)
    for j in range(count - 2, -1, -1):
        outer += [f"i{j} = rest % sizes[{j}]", f"rest = rest // sizes[{j}]"]
    for g in range(len(supports)):
        outer.append(f"b{g} = " + (" + ".join(f"i{j} * strides[{g}, {j}]" for j in range(count - 1)) or "0"))
    for k, table in enumerate(tables):
        along = stages.along[table.index]
        g = supports.index(along)
        if last in along:
            inner.append(f"t{k} = tables[starts[{k}] + b{g} + i * strides[{g}, {count - 1}]]")
        else:
            outer.append(f"t{k} = tables[starts[{k}] + b{g}]")
    constant = 0
    results = {node.index: r for r, node in enumerate(stages.results)}
    for node in stages.core:
        args = []
        for arg in node.args:
            if isinstance(arg, Node):
                args.append(names[arg.index])
            else:
                args.append(f"constants[{constant}]")
                constant += 1
        names[node.index] = f"n{len(names)}"
        varies = last in stages.along[node.index]
        (inner if varies else outer).append(f"{names[node.index]} = " + _TEXT[node.op].format(*args))
    inner += [f"out[{r}, p * length + i] = {names[index]}" for index, r in results.items()]
    return "\n".join(
        [
            "def kernel(sizes, tables, starts, strides, constants, out):",
            f"    length = sizes[{count - 1}]",
            "    for p in prange(out.shape[1] // length):",
            "        rest = p + 0",
            *(f"        {line}" for line in outer),
            "        for i in range(length):",
            *(f"            {line}" for line in inner),
        ]
    )


@lru_cache(maxsize=64)
def _compiled(text: str) -> Callable[..., None]:
    import numba

    names: dict[str, Any] = {"np": np, "prange": numba.prange}
    exec(text, names)  # noqa: S102 - the text is made above, of nothing but operations and numbers of variables
    kernel: Callable[..., None] = numba.njit(parallel=True, error_model="numpy", boundscheck=False)(names["kernel"])
    return kernel
