"""Graphs that stop before their last layer, heads that were tried on the way, and caches that are filled without
layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from perfsim.errors import GraphError
from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.regions import carried
from perfsim.ops import CacheWrite, Linear

__all__ = ["layer_count", "truncated", "with_filled_caches", "with_tried_heads"]


def layer_count(graph: OperatorGraph) -> int:
    """Layers of a graph whose layers all pass on the same features [1].

    Raises
    ------
    GraphError
        if it has no repeated layers, or they change the shape of the features.
    """
    if not graph.regions:
        raise GraphError("it has no repeated layers")
    try:
        shapes = {tuple(graph.tensors[name].shape) for region in graph.regions for name in carried(graph, region)}
    except GraphError:
        shapes = set()
    if len(shapes) != 1:
        raise GraphError("its layers change the shape of the features; the end fits behind the last one only")
    return sum(int(count) for count in graph.regions.values())


def _kept(graph: OperatorGraph, depth: int) -> dict[str, int]:
    """Repetitions of each region within the first ``depth`` layers."""
    kept, left = {}, depth
    for name, count in graph.regions.items():
        kept[name] = min(int(count), left)
        left -= kept[name]
    return kept


def _tail(graph: OperatorGraph) -> tuple[tuple[Operator, ...], str]:
    """The operators behind the last layer, and the features that they read."""
    last = max(index for index, op in enumerate(graph.operators) if op.region)
    tail = graph.operators[last + 1 :]
    read = (name for op in tail for name in op.inputs if graph.producer(name) not in (None, *tail))
    return tail, next(read)


def truncated(graph: OperatorGraph, depth: int) -> OperatorGraph:
    """The graph with its first ``depth`` layers and its end behind them."""
    kept = {name: count for name, count in _kept(graph, depth).items() if count}
    tail, old = _tail(graph)
    new = carried(graph, list(kept)[-1])[1]
    body = [op for op in graph.operators[: len(graph.operators) - len(tail)] if not op.region or op.region in kept]
    moved = [replace(op, inputs=tuple(new if name == old else name for name in op.inputs)) for op in tail]
    tensors = {name: t for name, t in graph.tensors.items() if not t.region or t.region in kept}
    return replace(graph, operators=(*body, *moved), tensors=tensors, regions=kept)


def with_tried_heads(graph: OperatorGraph, count: int, *, shared: bool) -> OperatorGraph:
    """The graph whose end ran ``count`` times more, as heads of exits that were not taken.

    shared: whether these heads use the weights of the end, or weights of their own.
    """
    if not count:
        return graph
    tail, source = _tail(graph)
    region = "exit-heads"
    names = {name for op in tail for name in (*op.inputs, *op.outputs)} - {source}
    renamed = {name: f"{region}.{name}" for name in names}
    tensors = {new: _head_tensor(graph.tensors[old], new, region, shared) for old, new in renamed.items()}
    heads = [
        replace(
            op, name=f"{region}.{op.name}", region=region, inputs=tuple(renamed.get(n, n) for n in op.inputs),
            outputs=tuple(renamed[n] for n in op.outputs),
        )
        for op in tail
    ]  # fmt: skip
    body = graph.operators[: len(graph.operators) - len(tail)]
    return replace(
        graph, operators=(*body, *heads, *tail), tensors={**graph.tensors, **tensors},
        regions={**graph.regions, region: count},
    )  # fmt: skip


def _head_tensor(tensor: Tensor, name: str, region: str, shared: bool) -> Tensor:
    view = (tensor.view_of or tensor.name) if shared and tensor.role is Role.WEIGHT else ""
    return tensor.replace(name=name, region=region, view_of=view)


def with_filled_caches(graph: OperatorGraph, whole: OperatorGraph) -> OperatorGraph:
    """``graph``, a truncation of ``whole``, with keys and values of the layers that it leaves out computed and stored.

    They are projected from the last features that there are, with the weights of each layer.

    Raises
    ------
    GraphError
        if a layer does not make its keys and values by one projection.
    """
    missing = {name: int(count) - int(graph.regions.get(name, 0)) for name, count in whole.regions.items()}
    tail, source = _tail(graph)
    body = list(graph.operators[: len(graph.operators) - len(tail)])
    tensors, regions = dict(graph.tensors), dict(graph.regions)
    for region, count in missing.items():
        if count:
            operators, new = _fill(whole, region, f"{region}.filled", source)
            body += operators
            tensors |= new
            regions[f"{region}.filled"] = count
    return replace(graph, operators=(*body, *tail), tensors=tensors, regions=regions)


def _fill(whole: OperatorGraph, region: str, name: str, source: str) -> tuple[list[Operator], Mapping[str, Tensor]]:
    inside = [op for op in whole.operators if op.region == region]
    write = next((op for op in inside if isinstance(op, CacheWrite)), None)
    product = next((op for op in inside if isinstance(op, Linear) and len(op.inputs) == 4), None)
    if write is None or product is None:
        raise GraphError(f'layers "{region}" do not make keys and values by one projection')
    made = product.outputs[1:]
    renamed = {old: f"{name}.{old}" for old in (*product.inputs[2:], *made, *write.inputs[len(made) :])}
    tensors = {new: _filled_tensor(whole.tensors[old], new, name) for old, new in renamed.items()}
    weights, caches = ([renamed[n] for n in names] for names in (product.inputs[2:], write.inputs[len(made) :]))
    keys = tuple(renamed[n] for n in made)
    return [
        Linear(f"{name}.kv", (source, *weights), keys, name),
        CacheWrite(f"{name}.cache_write", (*keys, *caches), (), name),
    ], tensors


def _filled_tensor(tensor: Tensor, name: str, region: str) -> Tensor:
    view = (tensor.view_of or tensor.name) if tensor.role is Role.WEIGHT else ""
    return tensor.replace(name=name, region=region, view_of=view)
