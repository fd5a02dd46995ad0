"""Choosing layers: the last or first share of them, by splitting what is repeated."""

from __future__ import annotations

from perfsim.graph import OperatorGraph
from perfsim.graph.regions import split_region
from perfsim.techniques.products import layer_products

__all__ = ["leading_layers", "split_layers"]


def leading_layers(counts: list[int], share: float) -> list[int]:
    """Of regions with so many repetitions, how many of each belong to the first ``share`` of all layers [1]."""
    wanted, taken, result = share * sum(counts), 0, []
    for count in counts:
        result.append(max(0, min(count, round(wanted) - taken)))
        taken += result[-1]
    return result


def split_layers(graph: OperatorGraph, share: float) -> tuple[OperatorGraph, frozenset[str]]:
    """The graph with its layers split, and the names of the products with weights in the first ``share`` of them.

    A region that lies across the border becomes two; a graph without regions counts every product as a layer.
    """
    if not graph.regions:
        names = [op.name for op in layer_products(graph)]
        return graph, frozenset(names[: round(share * len(names))])
    chosen: set[str] = set()
    regions = list(graph.regions)
    for region, first in zip(regions, leading_layers([int(graph.regions[r]) for r in regions], share), strict=True):
        rest = int(graph.regions[region]) - first
        if first and rest:
            graph = split_region(graph, region, (first, rest))
            chosen.add(f"{region}.0")
        elif first:
            chosen.add(region)
    return graph, frozenset(op.name for op in layer_products(graph) if op.region in chosen)
