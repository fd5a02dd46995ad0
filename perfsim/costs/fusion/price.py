"""Time of a tile plan, with the formulas that price every kernel."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.costs.fusion.chain import Chain
from perfsim.costs.fusion.plan import TilePlan
from perfsim.costs.hierarchy import Border, memory_runtime, served_share
from perfsim.costs.kernel import kernel_cost
from perfsim.costs.lowering import Kernel
from perfsim.costs.roofline import kernel_runtime
from perfsim.devices import KernelRates, Stack, System
from perfsim.graph import OperatorGraph, Placement, Tensor
from perfsim.quantities.numbers import Number

__all__ = ["Price"]


@dataclass(frozen=True, eq=False)
class Price:
    """What a chain costs whatever its tiles.

    matrix, vector: time of each stage's arithmetic [s]; chain: of sums that wait for each other [s]; once: bytes that
    cross the border at least [byte]; main: those of them that main memory serves [byte]; source_moves, weights_move:
    whether those are in main memory; concurrent: whether matrix and vector work run side by side.
    """

    matrix: tuple[float, ...]
    vector: tuple[float, ...]
    chain: float
    once: Number
    main: Number
    source_moves: bool
    weights_move: bool
    concurrent: bool
    rates: KernelRates
    system: System

    @classmethod
    def of(cls, chain: Chain, graph: OperatorGraph, system: System, stack: Stack, main: Number | None = None) -> Price:
        """The price of ``chain`` under ``stack``; main: bytes that main memory serves [byte], by default all."""
        nothing = Border(0, 0)
        costs = [
            kernel_cost(Kernel((stage.operator,), (), ()), graph, system, stack, nothing) for stage in chain.stages
        ]
        ends = [graph.tensors[name] for name in (chain.source, chain.result, *chain.outside)]
        moving = [tensor for tensor in ends if _moves(tensor)]
        weights = [graph.tensors[name] for name in chain.weights]
        once = sum(tensor.nbytes for tensor in (*moving, *weights))
        lead = next((cost for cost in costs if cost.matrix), costs[0])
        return cls(
            tuple(float(cost.compute) if cost.matrix else 0.0 for cost in costs),
            tuple(0.0 if cost.matrix else float(cost.compute) for cost in costs),
            sum(float(cost.chain) for cost in costs),
            once, once if main is None else main,
            _moves(graph.tensors[chain.source]), any(map(_moves, weights)), system.device.has_matrix_unit(lead.dtype),
            stack.rates(lead.dtype if lead.matrix else None), system,
        )  # fmt: skip

    def runtime(self, plan: TilePlan) -> float:
        """Time of one execution [s]."""
        device, rates, redo = self.system.device, self.rates, plan.redo
        matrix = sum(time * factor for time, factor in zip(self.matrix, redo, strict=True))
        vector = sum(time * factor for time, factor in zip(self.vector, redo, strict=True))
        if not self.concurrent:
            matrix, vector = matrix + vector, 0.0
        halo = plan.halo
        again = halo * self.source_moves + plan.shapes.stored * (plan.passes - 1) * self.weights_move
        cache = device.cache
        share = 0 if cache is None else served_share(distance=plan.distance, capacity=cache.capacity)
        memory = memory_runtime(
            main=self.main + again * (1 - share), total=self.once + again,
            bandwidth=device.bandwidth * rates.bandwidth_efficiency,
            cache_bandwidth=None if cache is None else cache.bandwidth * rates.bandwidth_efficiency,
        )  # fmt: skip
        activities = (matrix, vector, memory, self.chain)
        return float(kernel_runtime(launch=rates.kernel_launch, activities=activities, serial_share=rates.serial_share))


def _moves(tensor: Tensor) -> bool:
    return tensor.placement is Placement.MAIN
