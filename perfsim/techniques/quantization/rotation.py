"""Hadamard transforms around products: what makes weights and features easy to quantise."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from perfsim.graph import Operator, OperatorGraph, Tensor
from perfsim.graph.edit import exchanged
from perfsim.ops import Linear
from perfsim.ops.codebook import Hadamard

__all__ = ["rotated_products"]


def rotated_products(graph: OperatorGraph, chosen: Collection[str]) -> OperatorGraph:
    """The graph with the input of every chosen product transformed, once per tensor, and its outputs turned back."""
    copies: dict[str, str] = {}

    def rotated(op: Operator, tensors: dict[str, Tensor]) -> Iterator[Operator]:
        source = op.inputs[0]
        if source not in copies:
            copies[source] = f"{source}.rotated"
            tensors[copies[source]] = tensors[source].replace(name=copies[source], region=op.region)
            axes = op.contracted if isinstance(op, Linear) else 1
            yield Hadamard(f"{source}.rotate", (source,), (copies[source],), op.region, axes)
        raw = tuple(f"{name}.rotated_out" for name in op.outputs)
        tensors |= {new: tensors[old].replace(name=new) for new, old in zip(raw, op.outputs, strict=True)}
        yield replace(op, inputs=(copies[source], *op.inputs[1:]), outputs=raw)
        for new, old in zip(raw, op.outputs, strict=True):
            yield Hadamard(f"{old}.rotate_back", (new,), (old,), op.region)

    return exchanged(graph, (op for op in graph.operators if op.name in chosen), rotated)
