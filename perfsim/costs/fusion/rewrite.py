"""The graph with its blocks fused, as far as that fits on chip and pays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

from perfsim.costs.fusion.chain import Chain, Cut, blocks_of
from perfsim.costs.fusion.partition import Planner, partitioned
from perfsim.costs.fusion.search import Limits, Search
from perfsim.costs.lowering import place_on_chip
from perfsim.costs.phase import PhaseCost, phase_cost
from perfsim.devices import Stack, System
from perfsim.errors import GraphError
from perfsim.graph import Operator, OperatorGraph, TiledKernel
from perfsim.graph.regions import split_region
from perfsim.quantities.numbers import is_array, is_symbolic
from perfsim.quantities.units import DIMENSIONS, format_quantity
from perfsim.workloads import Phase

__all__ = ["Fused", "Settings", "fused_graph"]

BYTES, TIME = DIMENSIONS["capacity"], DIMENSIONS["time"]

SLACK = 1e-12
"""Relative difference of two times that is rounding [1]."""


@dataclass(frozen=True)
class Settings:
    """What to fuse: limits of a plan; where: whose scratchpad it is; blocks: most that one kernel joins."""

    limits: Limits
    where: str
    blocks: int = 1


@dataclass(frozen=True, eq=False)
class Fused:
    """A graph with fused blocks.

    kernels: how many; fitting: how many would fit on chip, faster or not; reasons: why some are left apart.
    """

    graph: OperatorGraph
    kernels: int
    fitting: int
    reasons: tuple[str, ...]


@lru_cache(maxsize=64)
def fused_graph(graph: OperatorGraph, system: System, stack: Stack, settings: Settings) -> Fused:
    """``graph`` with its blocks fused where a plan fits and takes less time than the kernels that ``stack`` runs.

    Never slower than ``graph``. Operators that a kernel of the graph holds already stay in it.

    Raises
    ------
    TypeError
        if sizes are symbols or arrays: tiles are planned for numbers.
    """
    for tensor in graph.tensors.values():
        if any(is_symbolic(n) or is_array(n) for n in tensor.shape):
            raise TypeError(f"tiles are planned for numbers, and {tensor.name} has the shape {tensor.shape}")
    plain = _priced(graph, system, stack)
    best, best_runtime = Fused(graph, 0, 0, ()), float(plain.runtime)
    base, chains = graph, blocks_of(graph)
    for depth in range(1, settings.blocks + 1):
        if depth == 2:
            base = _written_out(graph)
            chains = blocks_of(base)
        found = _settled(base, chains[0], system, stack, settings, depth)
        runtime = float(_priced(found.graph, system, stack).runtime)
        if depth == 1 or runtime < best_runtime:
            best, best_runtime = found, runtime
    return replace(best, reasons=(*_cut_reasons(chains[1]), *best.reasons))


def _written_out(graph: OperatorGraph) -> OperatorGraph:
    """``graph`` with every repetition of a region as a region of its own, so that a kernel may join what is repeated.

    A region that hands over no map of unchanged shape stays as it is.
    """
    taken = {op.region for op in graph.operators if op.name in graph.kernels}
    for region, count in graph.regions.items():
        if isinstance(count, int) and count > 1 and region not in taken:
            with suppress(GraphError):
                graph = split_region(graph, region, [1] * count)
    return graph


def _priced(graph: OperatorGraph, system: System, stack: Stack) -> PhaseCost:
    return phase_cost(Phase("fusion", graph, repeated=True), system, stack)


def _settled(
    graph: OperatorGraph, chains: list[Chain], system: System, stack: Stack, settings: Settings, depth: int
) -> Fused:
    """The graph with all pieces fused that fit, less those that make it slower."""
    plain = _priced(graph, system, stack)
    planner = Planner(place_on_chip(graph) if stack.on_chip else graph, system, stack, settings.limits)
    fitting = sum(planner.search(chain).plan is not None for chain in chains)
    several = [chain for chain in chains if len(_touching(plain, chain.operators)[1]) > 1]
    pieces = partitioned(several, planner, lambda chain: _touching(plain, chain.operators)[0], depth)
    reasons = [_too_large(chain, found, settings) for chain, found in pieces if found.plan is None]
    left = [chain for chain, found in pieces if found.plan is not None]
    while left:
        fused = _planned(graph, left, planner, system, stack, settings)
        cost = _priced(fused, system, stack)
        slower = {chain.name: pair for chain in left if (pair := _slower(chain, plain, cost)) is not None}
        if not slower and float(cost.runtime) <= float(plain.runtime) * (1 + SLACK):
            return Fused(fused, len(left), fitting, tuple(reasons))
        slower = slower or {left[-1].name: (float(cost.runtime), float(plain.runtime))}
        reasons += [_too_slow(chain, *slower[chain.name]) for chain in left if chain.name in slower]
        left = [chain for chain in left if chain.name not in slower]
    return Fused(graph, 0, fitting, tuple(reasons))


def _planned(
    graph: OperatorGraph, chains: list[Chain], planner: Planner, system: System, stack: Stack, settings: Settings
) -> OperatorGraph:
    """The graph with ``chains`` as kernels, each with the plan that is best for what a cache leaves to main memory."""
    bare = _applied(graph, {chain: TiledKernel(chain.name, chain.operators) for chain in chains})
    main = {cost.name: float(cost.traffic) for cost, _ in _priced(bare, system, stack).kernels}
    kernels = {}
    for chain in chains:
        plan = planner.search(chain, main[chain.name]).plan
        if plan is not None:
            kernels[chain] = plan.kernel(settings.limits.scratchpad, settings.where)
    return _applied(graph, kernels)


def _touching(cost: PhaseCost, operators: Iterable[str]) -> tuple[float, tuple[str, ...]]:
    """Time of the kernels that run any of ``operators`` [s], and all the operators in each of them."""
    wanted = set(operators)
    found = [(kernel, count) for kernel, count in cost.kernels if not wanted.isdisjoint(kernel.parts)]
    return sum(float(kernel.runtime * count) for kernel, count in found), tuple(kernel.name for kernel, _ in found)


def _slower(chain: Chain, plain: PhaseCost, fused: PhaseCost) -> tuple[float, float] | None:
    """Times of a chain fused and apart [s] if it takes longer fused, with whatever shares its kernels."""
    wanted = set(chain.operators)
    around = {part for kernel, _ in plain.kernels if not wanted.isdisjoint(kernel.parts) for part in kernel.parts}
    together, apart = _touching(fused, around)[0], _touching(plain, around)[0]
    return (together, apart) if together > apart * (1 + SLACK) else None


def _applied(graph: OperatorGraph, kernels: Mapping[Chain, TiledKernel]) -> OperatorGraph:
    """The graph with chains as kernels; the operators of each move to where its last one stood."""
    given = {name: kernel for chain, kernel in kernels.items() for name in chain.operators}
    ends = {chain.operators[-1]: chain for chain in kernels}
    operators: list[Operator] = []
    for op in graph.operators:
        if op.name in ends:
            operators += [stage.operator for stage in ends[op.name].stages]
        elif op.name not in given:
            operators.append(op)
    return replace(graph, operators=tuple(operators), kernels={**graph.kernels, **given})


def _too_large(chain: Chain, found: Search, settings: Settings) -> str:
    needed, there = (format_quantity(value, BYTES) for value in (found.least, settings.limits.scratchpad))
    return f"{chain.name} does not fit: its smallest tile needs {needed} per unit, {settings.where} has {there}"


def _too_slow(chain: Chain, fused: float, apart: float) -> str:
    times = (format_quantity(value, TIME) for value in (fused, apart))
    return "{} would take {} fused and takes {} apart".format(chain.name, *times)


def _cut_reasons(cuts: list[Cut]) -> tuple[str, ...]:
    return tuple(f"{cut.chain} is fused up to {cut.at} ({cut.kind}) only, which needs the whole map" for cut in cuts)
