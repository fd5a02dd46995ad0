"""Edits: each returns a new graph; whoever edits for a user ends in :func:`perfsim.graph.check.check`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from perfsim.graph.graph import OperatorGraph
from perfsim.graph.operator import Operator
from perfsim.graph.tensor import Tensor

__all__ = ["exchanged", "insert_after", "map_tensors", "reshaped"]

Chosen = TypeVar("Chosen", bound=Operator)


def map_tensors(graph: OperatorGraph, change: Callable[[Tensor], Tensor]) -> OperatorGraph:
    """Apply ``change`` to every tensor, then derive the activations' shapes anew.

    ``change`` may alter shape, dtype, role or placement, not the name.
    """
    return reshaped(replace(graph, tensors={name: change(t) for name, t in graph.tensors.items()}))


def reshaped(graph: OperatorGraph) -> OperatorGraph:
    """The graph with the shape of every produced tensor derived from the inputs, in order."""
    tensors = dict(graph.tensors)
    for op in graph.operators:
        for name, shape in zip(op.outputs, op.output_shapes(tensors), strict=True):
            if tensors[name].shape is not shape:
                tensors[name] = tensors[name].replace(shape=shape)
    return replace(graph, tensors=tensors)


def exchanged(
    graph: OperatorGraph, chosen: Iterable[Chosen], make: Callable[[Chosen, dict[str, Tensor]], Iterable[Operator]]
) -> OperatorGraph:
    """The graph with ``make(operator, tensors)`` in place of each of the ``chosen`` operators, in their order.

    ``make`` adds, changes and drops tensors of the mapping that it is given, which holds those of the whole graph. The
    shapes of other tensors stay as they are; :func:`reshaped` derives them anew.
    """
    by_name, tensors = {op.name: op for op in chosen}, dict(graph.tensors)
    operators: list[Operator] = []
    for op in graph.operators:
        operators += make(by_name[op.name], tensors) if op.name in by_name else (op,)
    return replace(graph, operators=tuple(operators), tensors=tensors)


def insert_after(graph: OperatorGraph, make: Mapping[str, Callable[[str, str], Operator]]) -> OperatorGraph:
    """Insert one operator behind each tensor named in ``make``; former consumers read its output.

    ``make[tensor](tensor, output)`` builds the operator that reads ``tensor`` and writes ``output``.
    """
    tensors, operators = dict(graph.tensors), list[Operator]()
    for op in graph.operators:
        renamed = tuple(f"{name}.whole" if name in make else name for name in op.inputs)
        operators.append(replace(op, inputs=renamed) if renamed != op.inputs else op)
        for name in op.outputs:
            if name in make:
                output = f"{name}.whole"
                inserted = make[name](name, output)
                tensors[output] = tensors[name].replace(name=output, region=inserted.region)
                operators.append(inserted)
    return reshaped(replace(graph, operators=tuple(operators), tensors=tensors))
