"""Cost of one kernel: its work, its traffic, and the time a stack takes for it on a system."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.costs.collectives import collective_runtime
from perfsim.costs.hierarchy import Border, borders, memory_runtime
from perfsim.costs.lowering import Kernel
from perfsim.costs.matrix import core_sharing, executed_flops, stream_efficiency
from perfsim.costs.roofline import kernel_runtime, reduction_chain, row_runtime
from perfsim.costs.scratchpad import LayerPlan
from perfsim.devices import Device, KernelRates, Stack, System
from perfsim.graph import Operator, OperatorGraph, TiledKernel, Unit, Work
from perfsim.ops import Collective
from perfsim.quantities.dtypes import DType
from perfsim.quantities.numbers import Number, minimum

__all__ = ["KernelCost", "kernel_cost"]


@dataclass(frozen=True, eq=False)
class KernelCost:
    """One execution of a kernel on one device.

    name, kind: of its lead operator, or of the graph's kernel; region: repeated region, or ""; parts: operators
    inside; flops: useful work [FLOP]; matrix_flops: those of the matrix unit; at_peak: their time at the peak of the
    format that each product runs in, without what a kernel skips or does on top [s]; traffic: main-memory bytes [byte];
    moved: bytes over the kernel's border, those from the cache included [byte]; link_bytes: bytes that the device
    sends [byte]; compute, memory, network, chain: activity times [s]; launch: fixed time [s]; runtime [s]; peak: of
    the unit that does most [FLOP/s]; matrix: whether that is the matrix unit; vector: time of element-wise work,
    hidden or not [s]; tiling: the graph's kernel, if it is one; plan: tiles and streams on a device without caches.
    """

    name: str
    kind: str
    region: str
    parts: tuple[str, ...]
    flops: Number
    matrix_flops: Number
    at_peak: Number
    traffic: Number
    moved: Number
    link_bytes: Number
    compute: Number
    memory: Number
    network: Number
    chain: Number
    launch: Number
    runtime: Number
    peak: Number
    dtype: DType
    matrix: bool
    vector: Number
    tiling: TiledKernel | None = None
    plan: LayerPlan | None = None


def kernel_cost(
    kernel: Kernel, graph: OperatorGraph, system: System, stack: Stack, border: Border | None = None
) -> KernelCost:
    """Cost of ``kernel`` on one device of ``system`` under ``stack``.

    border: bytes that it moves, if they are known already; without them everything comes from main memory.

    Raises
    ------
    InputError
        if the device cannot do the work, or has no link for a collective.
    """
    lead = kernel.lead
    works = [(op, op.work(graph.tensors)) for op in kernel.operators]
    work = next(w for op, w in works if op is lead)
    plain = lead.unit is Unit.TENSOR and lead.efficiency == "compute_efficiency"
    rates = stack.rates(work.dtype if plain else None)
    matrix, at_peak, flops, compute, vector, chain = _arithmetic(works, system, rates, kernel.tiling)
    if border is None:
        (border,) = borders(graph, (kernel,), None, False)
    cache = system.device.cache
    streaming = stream_efficiency(work.matrix if kernel.tiling is None else None, rates)  # tiles stream like a copy
    memory = memory_runtime(
        main=border.main, total=border.total, bandwidth=system.device.bandwidth * streaming,
        cache_bandwidth=None if cache is None else cache.bandwidth * streaming,
    )  # fmt: skip
    link_bytes, network = _communication(lead, graph, system, stack)
    launch = 0.0 if isinstance(lead, Collective) else _launch(rates, system.device)
    if not _is_zero(compute) and not _is_zero(vector) and not system.device.has_matrix_unit(work.dtype):
        compute, vector = compute + vector, 0.0
    activities = (compute, vector, memory, chain, network)
    runtime = kernel_runtime(
        launch=launch,
        activities=tuple(a for a in activities if not _is_zero(a)) or (0.0,),
        serial_share=rates.serial_share,
    )
    unit = Unit.TENSOR if lead.unit is Unit.TENSOR else Unit.VECTOR
    return KernelCost(
        kernel.name, kernel.kind, lead.region,
        tuple(op.name for op in kernel.operators), flops, matrix, at_peak, border.main, border.total, link_bytes,
        compute if not _is_zero(compute) else vector, memory, network, chain, launch, runtime,
        system.device.peak(unit, work.dtype), work.dtype, unit is Unit.TENSOR, vector,
        kernel.tiling,
    )  # fmt: skip


def _launch(rates: KernelRates, device: Device) -> Number:
    """Fixed time of one kernel [s]: what one core needs, and what the others need to come along."""
    if _is_zero(rates.launch_contention):
        return rates.kernel_launch
    return rates.kernel_launch * core_sharing(units=device.units, contention=rates.launch_contention)


def _is_zero(value: Number) -> bool:
    return type(value) in (int, float) and value == 0


def _arithmetic(
    works: list[tuple[Operator, Work]], system: System, rates: KernelRates, tiling: TiledKernel | None
) -> tuple[Number, Number, Number, Number, Number, Number]:
    """Matrix FLOP, their time at the peak, all FLOP, matrix time, vector time, and the reduction chain.

    What tiles compute again takes time.
    """
    redo = {} if tiling is None else tiling.redo
    matrix: Number = 0
    at_peak: Number = 0.0
    flops: Number = 0
    compute: Number = 0.0
    vector: Number = 0.0
    chain: Number = 0.0
    device = system.device
    for op, work in works:
        if _is_zero(work.flops):
            continue
        flops = flops + work.flops
        if work.unit is not Unit.TENSOR:
            vector = vector + work.flops * work.executed * redo.get(op.name, 1) / device.peak(Unit.VECTOR, work.dtype)
            if not _is_zero(work.rows):
                vector = vector + row_runtime(rows=work.rows, row_time=rates.row_time, units=device.units)
            continue
        matrix = matrix + work.flops
        efficiency = getattr(rates, op.efficiency)
        executed = work.flops * work.executed * redo.get(op.name, 1)
        if work.matrix is not None:
            plain = op.efficiency == "compute_efficiency"
            executed = executed_flops(work.matrix, executed, rates, device.units, plain)
            if plain and not _is_zero(rates.chain_per_k):
                chain = chain + reduction_chain(k=work.matrix.k, per_k=rates.chain_per_k, cap=rates.chain_cap)
        peak = device.peak(Unit.TENSOR, work.dtype)
        at_peak = at_peak + minimum(work.flops, executed) / peak
        compute = compute + executed / (peak * efficiency)
    if not _is_zero(rates.core_contention):
        shared = core_sharing(units=device.units, contention=rates.core_contention)
        compute, vector = compute * shared, vector * shared
    return matrix, at_peak, flops, compute, vector, chain


def _communication(lead: Operator, graph: OperatorGraph, system: System, stack: Stack) -> tuple[Number, Number]:
    if not isinstance(lead, Collective):
        return 0, 0.0
    nbytes = graph.tensors[lead.inputs[0]].nbytes
    runtime = collective_runtime(
        lead, nbytes, inner=system.scale_up(), outer=system.scale_out(),
        efficiency=stack.parameter("link_efficiency"), latency=stack.parameter("collective_latency"),
    )  # fmt: skip
    return nbytes * lead.volume(), runtime
