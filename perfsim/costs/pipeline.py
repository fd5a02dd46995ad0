"""Pipelines whose stages work on different passes, and transfers beside other kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from perfsim.costs.kernel import KernelCost
from perfsim.costs.lowering import Kernel
from perfsim.graph import OperatorGraph
from perfsim.ops import Collective, SendReceive
from perfsim.quantities.numbers import Number, ceil_div, maximum

__all__ = ["beside", "slowest_stage", "visible_runtime"]

Counted = Sequence[tuple[KernelCost, Number]]


def visible_runtime(*, beside: Number, kernels: Number, overlap: Number) -> Number:
    """Part of transfers that does not hide behind kernels [s].

    beside: all transfers that may run meanwhile [s]; kernels: everything else [s]; overlap: share of the kernels' time
    behind which transfers hide [1], 1 where they take nothing from each other.
    """
    return maximum(0 * beside, beside - overlap * kernels)


def beside(kernels: Counted, lowered: Sequence[Kernel], overlap: Number) -> tuple[tuple[KernelCost, Number], ...]:
    """The kernels with asynchronous collectives cut to the time in which nothing else runs."""
    flags = [isinstance(kernel.lead, Collective) and kernel.lead.asynchronous for kernel in lowered]
    if not any(flags):
        return tuple(kernels)
    hidden = sum(cost.runtime * count for (cost, count), flag in zip(kernels, flags, strict=True) if flag)
    others = sum(cost.runtime * count for (cost, count), flag in zip(kernels, flags, strict=True) if not flag)
    share = visible_runtime(beside=hidden, kernels=others, overlap=overlap) / hidden
    return tuple(
        (replace(cost, runtime=cost.runtime * share) if flag else cost, count)
        for (cost, count), flag in zip(kernels, flags, strict=True)
    )


def slowest_stage(kernels: Counted, lowered: Sequence[Kernel], graph: OperatorGraph, stages: int) -> Number:
    """Kernel time of the slowest of ``stages`` stages, at least two, in one pass [s].

    Stages take consecutive layers, as equal in number as possible; the first also does what comes before the layers,
    the last what comes after. Layers of different kinds count with their mean. Each stage hands over once.
    """
    layers: Number = sum(graph.regions.values())
    inside: Number = 0.0
    ends: list[Number] = [0.0, 0.0]
    reached = False
    for (cost, count), kernel in zip(kernels, lowered, strict=True):
        if cost.region or isinstance(kernel.lead, SendReceive):
            inside, reached = inside + cost.runtime * count, True
        else:
            ends[reached] = ends[reached] + cost.runtime * count
    return inside / layers * ceil_div(layers, stages) + maximum(*ends)


