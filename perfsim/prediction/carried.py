"""Layers of a plan whose kernels were never measured: their share of the runtime is known to a factor of two."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from perfsim.costs import PhaseCost
from perfsim.devices import Stack
from perfsim.prediction.interval import UNKNOWN, Interval

__all__ = ["carried_kinds", "with_carried"]

COSTS = ("rate", "per_output", "per_input")
"""Numbers of a kind of layer that state its cost."""

NOTICED = 0.1
"""Share of the runtime from which on a kind of layer is named [1]."""


def carried_kinds(stack: Stack) -> frozenset[str]:
    """Kinds of layer of which a stack states costs, all of them carried over from other kinds (status ``model``)."""
    stated: dict[str, set[str]] = {}
    for path, datum in stack.data.items():
        head, _, rest = path.partition(".")
        kind, _, name = rest.partition(".")
        if head == "kernel" and name in COSTS:
            stated.setdefault(kind, set()).add(datum.status)
    return frozenset(kind for kind, statuses in stated.items() if statuses == {"model"})


def with_carried(interval: Interval, stack: Stack, phases: Iterable[PhaseCost]) -> Interval:
    """An interval with the layers whose kind was never measured at a factor of two, by their share of the runtime.

    The bounds of the parts add up, as their times do.
    """
    kinds, times, total = carried_kinds(stack), dict[str, float](), 0.0
    for phase in phases:
        for cost, count in phase.kernels:
            if cost.plan is not None:
                total += cost.plan.runtime * count
                times[cost.plan.layer.kind] = times.get(cost.plan.layer.kind, 0.0) + cost.plan.runtime * count
    shares = {kind: times[kind] / total for kind in sorted(kinds & times.keys()) if times[kind] > NOTICED * total}
    if not shares or interval.low == interval.high == 1.0:
        return interval
    share = sum(shares.values())

    def mixed(bound: float, most: float) -> float:
        return (1 - share) * bound + share * (min(bound, most) if most < 1 else max(bound, most))

    named = " and ".join(f"{kind} ({each:.0%} of the time)" for kind, each in shares.items())
    return replace(
        interval, low=mixed(interval.low, UNKNOWN[0]), high=mixed(interval.high, UNKNOWN[1]),
        why=f"{interval.why}; and a factor of two on layers of a kind that was never measured: {named}",
    )  # fmt: skip
