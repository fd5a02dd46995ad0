"""The nodes that a graph's outputs need, in an order in which they can run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from perfsim.errors import ConfigError

__all__ = ["consumers_of", "label", "ordered", "reads_of", "subgraphs"]


def label(node: Any) -> str:
    """A node in messages: its name, or its first output, and its operator."""
    name = node.name or next(iter(node.output), "?")
    domain = f"{node.domain}." if node.domain not in ("", "ai.onnx") else ""
    return f"{name} ({domain}{node.op_type})"


def subgraphs(node: Any) -> list[Any]:
    """The graphs among a node's attributes."""
    return [g for a in node.attribute for g in ([a.g] if a.HasField("g") else list(a.graphs))]


def reads_of(node: Any, depth: int = 0) -> set[str]:
    """Names that a node reads, those that its sub-graphs take from outside included."""
    names = {name for name in node.input if name}
    for graph in subgraphs(node):
        if depth < 20:
            inner = set[str]().union(*(reads_of(n, depth + 1) for n in graph.node)) | {o.name for o in graph.output}
            own = {name for n in graph.node for name in n.output} | {t.name for t in graph.initializer}
            names |= inner - own - {i.name for i in graph.input}
    return names


def consumers_of(graph: Any) -> dict[str, list[Any]]:
    """Readers of each name; None stands for the graph's output."""
    table: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in reads_of(node):
            table.setdefault(name, []).append(node)
    for output in graph.output:
        table.setdefault(output.name, []).append(None)
    return table


def ordered(graph: Any, known: Iterable[str], path: str) -> list[Any]:
    """Nodes that the outputs need; files need not be sorted.

    known: names that exist before the graph runs.

    Raises
    ------
    ConfigError
        for a cycle, a name that nobody makes, or that two nodes make.
    """
    ready = set(known)
    maker: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        for name in node.output:
            if name and (name in maker or name in ready):
                raise ConfigError(f"{path}: tensor {name} is made twice; the second time by {label(node)}")
            if name:
                maker[name] = index
    order: list[int] = []
    state = dict[int, bool]()  # False: its inputs are being visited, True: done
    for output in graph.output:
        if output.name in maker:
            _visit(maker[output.name], graph, maker, ready, state, order, path)
        elif output.name not in ready:
            raise ConfigError(f"{path}: output {output.name} is made by no node")
    in_file = all(maker[n] < index for index in order for n in reads_of(graph.node[index]) if n in maker)
    return [graph.node[index] for index in (sorted(order) if in_file else order)]


def _visit(
    start: int, graph: Any, maker: dict[str, int], ready: set[str], state: dict[int, bool], order: list[int], path: str
) -> None:
    """Depth first, without recursion: long chains are common."""
    waiting: list[tuple[int, bool]] = [(start, False)]
    while waiting:
        index, leaving = waiting.pop()
        if leaving:
            state[index] = True
            order.append(index)
            continue
        if index in state:
            if not state[index]:
                raise ConfigError(f"{path}: the graph has a cycle through {label(graph.node[index])}")
            continue
        state[index] = False
        waiting.append((index, True))
        for name in sorted(reads_of(graph.node[index])):
            if name in maker:
                if not state.get(maker[name], True):
                    raise ConfigError(f"{path}: the graph has a cycle through {label(graph.node[maker[name]])}")
                if maker[name] not in state:
                    waiting.append((maker[name], False))
            elif name not in ready:
                raise ConfigError(f"{path}: node {label(graph.node[index])} reads {name}, which nothing makes")
