"""Which operators of a graph multiply by stored weights: what quantisation, sparsity and factorisation act on."""

from __future__ import annotations

from collections.abc import Iterable

from perfsim.graph import Operator, OperatorGraph, Role, Unit
from perfsim.ops import Linear

__all__ = ["layer_products", "no_matrices", "nothing_stored", "part_of", "stored_weights"]


def stored_weights(op: Operator, graph: OperatorGraph) -> tuple[str, ...]:
    """Matrices and filters that ``op`` multiplies by; biases, scales and tables of attention do not count."""
    if op.unit is not Unit.TENSOR or op.efficiency != "compute_efficiency":
        return ()
    tensors = (graph.tensors[name] for name in op.inputs)
    return tuple(t.name for t in tensors if t.role is Role.WEIGHT and len(t.shape) > 1)


def layer_products(graph: OperatorGraph) -> tuple[Operator, ...]:
    """Operators with stored weights inside the layers.

    Where a graph has repeated layers, the embedding, the head and other parts outside of them keep what they are; a
    graph without repetitions, e.g. a convolutional network, is all layers.
    """
    products = (op for op in graph.operators if stored_weights(op, graph))
    return tuple(op for op in products if op.region or not graph.regions)


def nothing_stored(graphs: Iterable[OperatorGraph]) -> str | None:
    """Why a technique that rewrites stored weights has nothing to act on, or None.

    Phases without any product, e.g. a declared delay or the scan of an index, do not count.
    """
    multiplying = [graph for graph in graphs if any(op.unit is Unit.TENSOR for op in graph.operators)]
    if multiplying and all(layer_products(graph) for graph in multiplying):
        return None
    return "its layers multiply by no stored weights; apply it before techniques that pack or replace the weights"


def no_matrices(graphs: Iterable[OperatorGraph]) -> str | None:
    """Why a technique that rewrites matrices, but no filters, has nothing to act on, or None."""
    graphs = tuple(graphs)
    if nothing_stored(graphs) is None and not any(isinstance(op, Linear) for g in graphs for op in layer_products(g)):
        return "its layers have no plain matrices, only filters or experts"
    return nothing_stored(graphs)


_PARTS = (
    (("attention", "cross"), "attention"),
    (("shared", "mlp"), "ffn"),
    (("router", "shared_gate"), "other"),
    (("moe",), "experts"),
)
"""Steps of a dotted name, and the part they stand for; the first that fits holds."""


def part_of(op: Operator) -> str:
    """Which part of a network an operator belongs to: ``attention``, ``ffn``, ``experts`` or ``other``.

    Architectures name operators by the part, e.g. ``layer.attention.qkv``, ``layer.mlp.down``, ``layer.moe.down``; an
    expert that is always active counts as feed-forward block, the router as other.
    """
    steps = set(op.name.split("."))
    return next((part for names, part in _PARTS if steps & set(names)), "other")
