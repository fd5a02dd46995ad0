"""Values that differ from layer to layer: how they are written, and graphs whose layers are told apart by them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from perfsim.errors import InputError
from perfsim.graph import OperatorGraph
from perfsim.graph.regions import split_region

__all__ = ["layer_values", "numbers_of", "split_layers"]


def numbers_of(text: str, name: str, least: float, most: float) -> tuple[float, ...]:
    """The numbers of a list such as ``0.9+0.5+0.2``.

    Raises
    ------
    InputError
        if one of them is none, or outside of ``least`` to ``most``.
    """
    try:
        values = tuple(float(part) for part in text.split("+"))
    except ValueError:
        values = ()
    if not values or any(not least <= value <= most for value in values):
        raise InputError(f'{name}="{text}": expected numbers from {least:g} to {most:g} joined by "+", e.g. 0.5+0.25')
    return values


def layer_values(values: Sequence[float], layers: int) -> list[float]:
    """One value per layer: the layers are divided into as many even runs as there are values."""
    return [values[layer * len(values) // layers] for layer in range(layers)]


def split_layers(graph: OperatorGraph, values: Sequence[float]) -> tuple[OperatorGraph, dict[str, float]]:
    """The graph with regions whose layers all have one value, and the value by region.

    values: one per repetition of all regions, in order.
    """
    found: dict[str, float] = {}
    start = 0
    for region, count in tuple(graph.regions.items()):
        runs = [(value, len(list(run))) for value, run in groupby(values[start : start + count])]
        start += count
        graph = split_region(graph, region, [length for _, length in runs])
        names = [region] if len(runs) == 1 else [f"{region}.{index}" for index in range(len(runs))]
        found |= {name: value for name, (value, _) in zip(names, runs, strict=True)}
    return graph, found
