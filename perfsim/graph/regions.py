"""Splitting a repeated region, so that some of its repetitions can be changed and the others stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from perfsim.errors import GraphError
from perfsim.graph.graph import OperatorGraph
from perfsim.graph.operator import Operator
from perfsim.graph.tensor import Tensor

__all__ = ["carried", "split_region"]


def carried(graph: OperatorGraph, region: str) -> tuple[str, str]:
    """The tensor that enters a region from the previous repetition, and the one that goes to the next.

    A repetition passes on its last output; what it takes over is the activation from outside with the same shape.

    Raises
    ------
    GraphError
        if there is no such pair.
    """
    inside = [op for op in graph.operators if op.region == region]
    made = {name for op in inside for name in op.outputs}
    last = next((op.outputs[-1] for op in reversed(inside) if op.outputs), "")
    for op in inside:
        for name in op.inputs:
            outside = name not in made and graph.producer(name) is not None
            if outside and last and graph.tensors[name].shape == graph.tensors[last].shape:
                return name, last
    raise GraphError(f'region "{region}" takes over no activation from its previous repetition')


def split_region(graph: OperatorGraph, region: str, counts: Sequence[int]) -> OperatorGraph:
    """The graph with ``region`` as consecutive regions ``region.0``, ``region.1`` ... of ``counts`` repetitions.

    Parts of no repetition are left out. Work, traffic and memory stay as they are.

    Raises
    ------
    GraphError
        if the region is unknown, or the counts do not add up to its repetitions.
    """
    if region not in graph.regions or sum(counts) != graph.regions[region] or min(counts, default=-1) < 0:
        known = ", ".join(f"{name}={count}" for name, count in graph.regions.items()) or "none"
        raise GraphError(f'region "{region}" cannot be split into {list(counts)}; regions: {known}')
    parts = [(index, count) for index, count in enumerate(counts) if count]
    if len(parts) < 2:
        return graph
    entering, leaving = carried(graph, region)
    tensors = {name: t for name, t in graph.tensors.items() if t.region != region}
    operators: list[Operator] = []
    regions = {name: count for name, count in graph.regions.items() if name != region}
    inside = [op for op in graph.operators if op.region == region]
    before, after = _around(graph, region)
    operators += before
    source = entering
    for index, count in parts:
        name = f"{region}.{index}"
        regions[name] = count
        renamed = {old: _renamed(old, region, name) for old, t in graph.tensors.items() if t.region == region}
        copies = {**renamed, entering: source}
        tensors |= {new: _moved(graph.tensors[old], new, name, renamed) for old, new in renamed.items()}
        operators += [_copied(op, region, name, copies) for op in inside]
        source = renamed[leaving]
    operators += [replace(op, inputs=tuple(source if n == leaving else n for n in op.inputs)) for op in after]
    order = [n for old in graph.regions for n in ([old] if old != region else [f"{region}.{i}" for i, _ in parts])]
    return replace(graph, operators=tuple(operators), tensors=tensors, regions={name: regions[name] for name in order})


def _around(graph: OperatorGraph, region: str) -> tuple[list[Operator], list[Operator]]:
    first = next(index for index, op in enumerate(graph.operators) if op.region == region)
    outside = [(index, op) for index, op in enumerate(graph.operators) if op.region != region]
    return [op for index, op in outside if index < first], [op for index, op in outside if index > first]


def _renamed(name: str, region: str, part: str) -> str:
    return part + name.removeprefix(region) if name.startswith(region) else f"{part}.{name}"


def _moved(tensor: Tensor, name: str, region: str, renamed: dict[str, str]) -> Tensor:
    view = renamed.get(tensor.view_of, tensor.view_of)
    return tensor.replace(name=name, region=region, view_of=view)


def _copied(op: Operator, region: str, part: str, names: dict[str, str]) -> Operator:
    inputs = tuple(names.get(name, name) for name in op.inputs)
    outputs = tuple(names.get(name, name) for name in op.outputs)
    within = {f.name: getattr(op, f.name) for f in fields(op) if isinstance(getattr(op, f.name), Operator)}
    changed: dict[str, Any] = {name: _copied(inner, region, part, names) for name, inner in within.items()}
    return replace(op, name=_renamed(op.name, region, part), inputs=inputs, outputs=outputs, region=part, **changed)

