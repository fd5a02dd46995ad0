"""Choices per layer under a budget: which layers get how many bits, or how many zeros."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perfsim.catalog import model as find_model
from perfsim.errors import InputError
from perfsim.graph import OperatorGraph, Role
from perfsim.quantities.units import DIMENSIONS, parse_as
from perfsim.sweeps.design import Design

__all__ = ["Allocation", "Option", "allocate", "bits_per_layer", "weights_per_layer"]

MOST = 200_000
"""Partial choices that are kept at most [1]; beyond that the problem is refused."""


@dataclass(frozen=True)
class Option:
    """One way to treat a layer: ``cost`` counts against the budget, ``loss`` is what it spoils."""

    name: str
    cost: float
    loss: float


@dataclass(frozen=True)
class Allocation:
    """One option per layer, with the sums of cost and loss."""

    chosen: Mapping[str, Option]
    cost: float
    loss: float


def allocate(layers: Mapping[str, Sequence[Option]], budget: float) -> Allocation:
    """The options with the smallest sum of losses whose costs stay within the budget: exact.

    Dynamic programming over the layers: of all partial choices only those are kept that no other one beats in cost
    and in loss [1]_.

    Raises
    ------
    InputError
        if not even the cheapest options fit, a layer has no option, or there are too many partial choices.

    References
    ----------
    .. [1] H. Kellerer, U. Pferschy, D. Pisinger, "Knapsack Problems", 2004, chapter 11 (multiple-choice knapsack).
    """
    empty = [name for name, options in layers.items() if not options]
    if empty:
        raise InputError(f"layer {empty[0]} has no option; state at least one")
    rest = sum(min(o.cost for o in options) for options in layers.values())
    if rest > budget:
        raise InputError(f"the cheapest options cost {rest:g}, the budget is {budget:g}; raise it")
    states: list[tuple[float, float, Any]] = [(0.0, 0.0, None)]
    for options in layers.values():
        rest -= min(o.cost for o in options)
        grown = [
            (cost + o.cost, loss + o.loss, (o, chosen)) for cost, loss, chosen in states for o in options
            if cost + o.cost + rest <= budget * (1 + 1e-12)
        ]  # fmt: skip
        states = _undominated(grown)
        if len(states) > MOST:
            raise InputError(f"more than {MOST} partial choices; round the costs, e.g. to megabytes")
    cost, loss, chain = min(states, key=lambda state: (state[1], state[0]))
    chosen: list[Option] = []
    while chain is not None:
        option, chain = chain
        chosen.append(option)
    return Allocation(dict(zip(layers, reversed(chosen), strict=True)), cost, loss)


def _undominated(states: list[tuple[float, float, Any]]) -> list[tuple[float, float, Any]]:
    kept: list[tuple[float, float, Any]] = []
    for state in sorted(states, key=lambda s: (s[0], s[1])):
        if not kept or state[1] < kept[-1][1]:
            kept.append(state)
    return kept


def weights_per_layer(design: Design) -> dict[str, float]:
    """Weights of each product of the first phase, all its repetitions together [1]."""
    p = design.at({})
    return _weights(p.costs[0].graph)


def _weights(graph: OperatorGraph) -> dict[str, float]:
    found: dict[str, float] = {}
    for op in graph.operators:
        numbers = [graph.tensors[name] for name in op.inputs if graph.tensors[name].role is Role.WEIGHT]
        total = sum(float(t.elements) for t in numbers)
        if total:
            found[op.name] = total * graph.count(op)
    return found


def bits_per_layer(
    sensitivity: Mapping[str, Mapping[int, float]], budget: str | float, *, model: Any, job: Any, on: Any,
    group: int = 128, **request: Any,
) -> Allocation:  # fmt: skip
    """Bits per weight of every layer with the smallest total loss that fit into ``budget`` bytes on one device.

    sensitivity: layer → bits → loss, as measured by whoever knows the network; layers are the operators of the model
    (``perfsim predict --explain`` lists them). A weight of b bits takes b/8 bytes, and a 16-bit scale per ``group``.

    Raises
    ------
    InputError, UnitError
        for a layer without weights, a budget that is no size, or one that is too small.
    """
    size = parse_as(budget, DIMENSIONS["capacity"]) if isinstance(budget, str) else float(budget)
    weights = weights_per_layer(Design(find_model(model), job, on, **request))
    layers = {}
    for name, losses in sensitivity.items():
        if name not in weights:
            raise InputError(f"layer {name} has no weights; those with weights are {', '.join(weights)}")
        layers[name] = [
            Option(f"{bits} bit", weights[name] * (bits / 8 + (2 / group if bits < 16 else 0)), loss)
            for bits, loss in losses.items()
        ]
    return allocate(layers, size)
