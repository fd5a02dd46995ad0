"""Edits: each returns a new graph; whoever edits for a user ends in :func:`perfsim.graph.check.check`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from perfsim.graph.graph import OperatorGraph
from perfsim.graph.operator import Operator
from perfsim.graph.tensor import Tensor

__all__ = ["insert_after", "map_tensors", "reshaped"]


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
