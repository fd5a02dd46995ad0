"""Repeated regions written out, so that a kernel may join what follows each other."""

from __future__ import annotations

from dataclasses import replace

from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.quantities.numbers import Number

__all__ = ["unrolled"]


def unrolled(graph: OperatorGraph) -> OperatorGraph:
    """``graph`` with every region of n repetitions as n regions ``name#1`` to ``name#n``.

    A region whose repetitions do not hand over exactly one map of unchanged shape stays as it is.
    """
    for region, count in graph.regions.items():
        if isinstance(count, int) and count > 1:
            ends = _carried(graph, region)
            graph = graph if ends is None else _written_out(graph, region, count, *ends)
    return graph


def _carried(graph: OperatorGraph, region: str) -> tuple[str, str] | None:
    """The map that a repetition takes from the one before it, and the one that it hands on."""
    inside = [op for op in graph.operators if op.region == region]
    first = next((i for i, op in enumerate(graph.operators) if op.region == region), 0)
    if not inside or list(graph.operators[first : first + len(inside)]) != inside:
        return None
    if any(op.name in graph.kernels for op in inside):
        return None
    made = {name for op in inside for name in op.outputs}
    taken = {n for op in inside for n in op.inputs if n not in made and graph.tensors[n].region != region}
    taken = {n for n in taken if graph.tensors[n].role in (Role.ACTIVATION, Role.INPUT)}
    used = {name for name in made if any(op.region != region for op in graph.consumers(name))}
    given = used or {name for name in made if not graph.consumers(name)}
    if len(taken) != 1 or len(given) != 1:
        return None
    before, after = next(iter(taken)), next(iter(given))
    return (before, after) if graph.tensors[before].shape == graph.tensors[after].shape else None


def _written_out(graph: OperatorGraph, region: str, count: int, before: str, after: str) -> OperatorGraph:
    owned = [t for t in graph.tensors.values() if t.region == region]
    tensors = {name: t for name, t in graph.tensors.items() if t.region != region}
    copies: list[Operator] = []
    for index in range(1, count + 1):
        names = {t.name: _renamed(t.name, region, index) for t in owned}
        tensors |= {names[t.name]: _copied(t, names, f"{region}#{index}") for t in owned}
        names[before] = before if index == 1 else _renamed(after, region, index - 1)
        copies += [
            replace(
                op, name=_renamed(op.name, region, index), inputs=tuple(names.get(n, n) for n in op.inputs),
                outputs=tuple(names[n] for n in op.outputs), region=f"{region}#{index}",
            )
            for op in graph.operators
            if op.region == region
        ]  # fmt: skip
    last = _renamed(after, region, count)
    start = next(i for i, op in enumerate(graph.operators) if op.region == region)
    others = [
        replace(op, inputs=tuple(last if n == after else n for n in op.inputs)) if after in op.inputs else op
        for op in graph.operators
        if op.region != region
    ]
    regions: dict[str, Number] = {}
    for name, times in graph.regions.items():
        regions |= {f"{name}#{i}": 1 for i in range(1, count + 1)} if name == region else {name: times}
    return replace(graph, operators=(*others[:start], *copies, *others[start:]), tensors=tensors, regions=regions)


def _renamed(name: str, region: str, index: int) -> str:
    return f"{region}#{index}{name.removeprefix(region)}" if name.startswith(f"{region}.") else f"{name}#{index}"


def _copied(tensor: Tensor, names: dict[str, str], region: str) -> Tensor:
    return tensor.replace(name=names[tensor.name], region=region, view_of=names.get(tensor.view_of, tensor.view_of))
