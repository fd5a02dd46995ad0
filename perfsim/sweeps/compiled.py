"""Programs run by a compiled machine, for the ``compiled`` extra: the same expressions, without numpy's arrays between
them. The machine is compiled by numba on its first use and kept on disk; no program is compiled.
"""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import prod

import numpy as np

from perfsim.errors import InputError
from perfsim.quantities.recorder import CONDITIONS, Node
from perfsim.sweeps.blocks import WIDTH, Block, key_of, planned
from perfsim.sweeps.program import Array, Box, Program

__all__ = ["evaluate_compiled", "is_there"]

PIECES = 8
"""Pieces of a block that are worth a thread [1]."""

SHARES = 4
"""Parts of a block for each thread [1], so that none waits long for the last one."""


def is_there() -> bool:
    """Whether numba is installed."""
    return importlib.util.find_spec("numba") is not None


def evaluate_compiled(program: Program, box: Box, threads: int) -> dict[str, Array]:
    """As :meth:`Program.evaluate`, for programs without loops over positions; bit for bit the same but for powers.

    Raises
    ------
    InputError
        if numba is not installed.
    """
    if not is_there():
        raise InputError("compiled=True needs numba; install it with: pip install perfsim[compiled]")
    plan = planned(program, box.layout)
    memory = np.empty(plan.length)
    for value, address in plan.constants:
        memory[address] = value
    for name, address in plan.leaves:
        values = np.asarray(box.columns[name][1], dtype=float)
        memory[address : address + len(values)] = values
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for block in plan.blocks:
            _run(block, memory, threads, pool)
    results = {}
    for name, output in program.outputs.items():
        address, along = plan.places[key_of(output)]
        shape = [n if d in along else 1 for d, n in enumerate(box.sizes)]
        found = memory[address : address + prod(shape)].reshape(shape)
        results[name] = found.astype(bool) if isinstance(output, Node) and output.op in CONDITIONS else found
    return results


def _run(block: Block, memory: Array, threads: int, pool: ThreadPoolExecutor) -> None:
    from perfsim.sweeps import machine

    def part(edge: tuple[int, int]) -> None:
        machine.run(
            block.code, block.strides, block.sizes, block.patterns, block.inner, block.innermost, *edge, memory,
            np.empty((block.rows, WIDTH)),
        )  # fmt: skip

    parts = max(1, min(SHARES * threads, block.pieces // PIECES)) if threads > 1 else 1
    edges = [block.pieces * i // parts for i in range(parts + 1)]
    list(map(part, pairwise(edges)) if parts == 1 else pool.map(part, pairwise(edges)))
