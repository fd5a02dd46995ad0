"""Which operators of a graph multiply by stored weights: what quantisation, sparsity and factorisation act on."""

from __future__ import annotations

from perfsim.graph import Operator, OperatorGraph, Role, Unit

__all__ = ["layer_products", "stored_weights"]


def stored_weights(op: Operator, graph: OperatorGraph) -> tuple[str, ...]:
    """Matrices and filters that ``op`` multiplies by; biases and scales do not count."""
    if op.unit is not Unit.TENSOR:
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
