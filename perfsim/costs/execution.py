"""How a device runs the kernels of a phase: with caches in front of its memory, or with scratchpads and DMA."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from perfsim.costs.hierarchy import borders
from perfsim.costs.kernel import KernelCost, kernel_cost
from perfsim.costs.lowering import Kernel
from perfsim.costs.scratchpad import LayerPlan, Machine, Misfit, machine_of, plan_network
from perfsim.devices import Device, Stack, System
from perfsim.graph import OperatorGraph, Unit
from perfsim.quantities.numbers import Number, minimum

__all__ = ["kernel_costs"]

Costs = tuple[tuple[KernelCost, ...], tuple[Misfit, ...] | None]


def kernel_costs(
    graph: OperatorGraph, lowered: tuple[Kernel, ...], system: System, stack: Stack, repeated: bool
) -> Costs:
    """Cost of every kernel, in order, and what does not fit (None: no plan); the stack decides how memory is managed.

    repeated: whether the pass is run again and again.

    Raises
    ------
    InputError
        if the device cannot do the work.
    """
    if stack.tiles:
        return _tiled(graph, lowered, system, stack)
    return _cached(graph, lowered, system, stack, repeated), None


def _cached(
    graph: OperatorGraph, lowered: tuple[Kernel, ...], system: System, stack: Stack, repeated: bool
) -> tuple[KernelCost, ...]:
    """Every kernel on its own; what a cache keeps between them does not cross main memory."""
    moved = borders(graph, lowered, _keeping(system.device, stack), repeated)
    return tuple(
        kernel_cost(kernel, graph, system, stack, border) for kernel, border in zip(lowered, moved, strict=True)
    )


def _keeping(device: Device, stack: Stack) -> Number | None:
    """Capacity of what keeps data between kernels and passes [byte]: a cache, or None.

    Under the ideal stack a shared scratchpad, too, all of it used: twice its size as a cache, which is lost from half
    its size on.
    """
    if device.cache is not None:
        return device.cache.capacity
    shared = stack.on_chip and device.info.get("memory.l2.scope") == "chip"
    return 2 * device.get("memory.l2.capacity") if shared else None


def _tiled(graph: OperatorGraph, lowered: tuple[Kernel, ...], system: System, stack: Stack) -> Costs:
    """All kernels as one plan, tiled for the scratchpads."""
    leading = next((kernel for kernel in lowered if kernel.lead.unit is Unit.TENSOR), lowered[0])
    machine = machine_of(system.device, stack, leading.lead.compute_dtype(graph.tensors))
    names = [kernel.lead.name for kernel in lowered]
    plan = plan_network(names, lowered, graph, _order(graph, lowered), machine)
    costs = [
        _planned(kernel, graph, system, layer, machine) for kernel, layer in zip(lowered, plan.layers, strict=True)
    ]
    return tuple(costs), plan.misfits


def _order(graph: OperatorGraph, lowered: Sequence[Kernel]) -> list[int]:
    """Indices of the kernels as they run: those of a region one after the other, as often as it is repeated."""
    order: list[int] = []
    for region, members in groupby(range(len(lowered)), key=lambda index: lowered[index].lead.region):
        order += list(members) * int(graph.regions[region] if region else 1)
    return order


def _planned(
    kernel: Kernel, graph: OperatorGraph, system: System, plan: LayerPlan, machine: Machine
) -> KernelCost:
    """The cost of one kernel by its plan: arithmetic and DMA overlap, fixed work and waiting come on top."""
    lead, works = kernel.lead, [(op, op.work(graph.tensors)) for op in kernel.operators]
    work = next(w for op, w in works if op is lead)
    products = [w for _, w in works if w.unit is Unit.TENSOR]
    matrix = sum(w.flops for w in products)
    at_peak = sum(w.flops * minimum(w.executed, 1) / system.device.peak(Unit.TENSOR, w.dtype) for w in products)
    unit = Unit.TENSOR if lead.unit is Unit.TENSOR else Unit.VECTOR
    compute, dma, fixed, moved = plan.parts
    direct = moved if machine.outer == system.device.main_memory else 0.0
    return KernelCost(
        name=lead.name, kind=lead.kind if lead.unit is not Unit.VECTOR else lead.fusion_kind, region=lead.region,
        parts=tuple(op.name for op in kernel.operators), flops=sum(w.flops for _, w in works), matrix_flops=matrix,
        at_peak=at_peak,
        traffic=plan.streaming.traffic + direct, moved=moved, link_bytes=0, compute=compute,
        memory=max(dma, plan.streaming.busy), network=0.0, chain=0.0, launch=fixed, runtime=plan.runtime,
        peak=system.device.peak(unit, work.dtype), dtype=work.dtype, matrix=unit is Unit.TENSOR, vector=0.0, plan=plan,
    )  # fmt: skip
