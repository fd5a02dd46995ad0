"""How many cycles a kernel of a microcontroller's library takes, and the machine that it runs on."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from perfsim.devices import Device, Stack
from perfsim.errors import InputError
from perfsim.graph import Unit
from perfsim.quantities.dtypes import DTYPES, DType
from perfsim.quantities.numbers import Number, ceil_div

__all__ = ["KINDS", "KernelRate", "Machine", "kernel_cycles", "machine_of", "transfer_runtime"]

KINDS = ("pointwise", "first", "conv", "depthwise", "linear", "pool", "elementwise")
"""Kinds of layer that a library has kernels of its own for."""

CLOCKS = ("cluster", "array", "nominal", "maximum")
"""Clocks of a device that can be the one of the arithmetic, the first that is stated counts."""


@dataclass(frozen=True)
class KernelRate:
    """Cost of one kind of layer on one core.

    rate: multiply-accumulates per cycle in the inner loop [1]; per_output: cycles per output, to start and requantise
    its sum [1]; per_input: cycles per run of neighbouring numbers that is gathered into a working buffer [1]; cores:
    that take part [1]; activity: share of the cores' full power that the kernel draws [1]; lanes: products of one
    output that a core takes at once, so that the last of ``products / lanes`` rounds may be part empty [1];
    by_channel: whether the cores share the output channels of a tile, not its positions; simd: products of one output
    that an instruction takes, where those that fill none take one each [1].
    """

    rate: float
    per_output: float
    per_input: float
    cores: int
    activity: float
    lanes: int = 1
    by_channel: bool = False
    simd: int = 1

    def filled(self, products: float) -> float:
        """Share of the lanes that ``products`` per output keep busy [1]."""
        if not products:
            return 1.0
        whole, rest = divmod(products, self.simd)
        rounds = ceil_div(products, self.lanes)
        return float(products / (self.lanes * rounds) * products / (self.simd * (whole + rest)))


@dataclass(frozen=True)
class Machine:
    """What the plan of a layer depends on, in cycles of the cores.

    clock: of the cores [Hz]; l1, l2: what a network may use of the inner and the outer scratchpad [byte]; dma: between
    them [byte/cycle]; dma_setup: of one transfer [cycle]; tile_overhead, layer_overhead: fixed work per tile and per
    layer [cycle]; stream, stream_setup: from main memory [byte/s], [s]; stream_limit: largest weights whose
    streaming is hidden behind the arithmetic of their own layer [byte]; capacity: of main memory [byte]; rates: in
    the order of :data:`KINDS`; outer: name of the level from which the DMA fills the inner scratchpad, l2, or main
    memory where that is the only scratchpad; line_setup: where features lie plane by plane, what each channel of a tile
    costs that passes from or to main memory [s]; 0 where strips of rows pass as they lie; matrix, vector: peaks of the
    device [FLOP/cycle]; beside: whether matrix and other work have units of their own.
    """

    clock: float
    l1: float
    l2: float
    dma: float
    dma_setup: float
    tile_overhead: float
    layer_overhead: float
    stream: float
    stream_setup: float
    stream_limit: float
    capacity: float
    rates: tuple[KernelRate, ...]
    outer: str = "l2"
    line_setup: float = 0.0
    matrix: float = inf
    vector: float = inf
    beside: bool = True

    def at_peak(self, flops: float, vector: float) -> float:
        """Cycles below which no kernel does its matrix and its other work [FLOP]: those at the peak of the device."""
        times = flops / self.matrix, vector / self.vector
        return max(times) if self.beside else sum(times)

    @property
    def planar(self) -> bool:
        """Whether features in main memory pass in the tiles of the inner scratchpad, channel by channel."""
        return self.line_setup > 0

    def rate(self, kind: str) -> KernelRate:
        """The cost of one kind of layer."""
        return self.rates[KINDS.index(kind)]


def kernel_cycles(
    *, macs: Number, outputs: Number, gathered: Number, rate: Number, per_output: Number, per_input: Number,
    cores: Number,
) -> Number:  # fmt: skip
    """Cycles of a layer on ``cores`` cores that share it evenly [cycle].

    macs, outputs, gathered: multiply-accumulates, outputs, and runs copied into working buffers [1]; rate [1/cycle];
    per_output, per_input [cycle]: all of one core.

    References
    ----------
    .. [1] A. Garofalo et al., "PULP-NN", Phil. Trans. R. Soc. A 378, 2020 (arXiv 1908.11263): inner loop over blocks
       of 4 outputs and 2 positions behind an image-to-column copy, then requantisation.
    """
    return (macs / rate + outputs * per_output + gathered * per_input) / cores


def transfer_runtime(*, nbytes: float, pieces: float, bandwidth: float, setup: float) -> float:
    """Time of copying from or to main memory [s]: nbytes [byte] in ``pieces`` copies; bandwidth [byte/s]; setup [s]."""
    return nbytes / bandwidth + pieces * setup


def machine_of(device: Device, stack: Stack, dtype: DType) -> Machine:
    """The scratchpads, the DMA and the kernels of a device under a stack that tiles.

    A stack with ``tiling.levels = 1`` manages one scratchpad, filled from main memory; all others manage two.

    Raises
    ------
    InputError
        if the device has no such scratchpads, or states no clock.
    """
    outer = device.main_memory if stack.get("tiling.levels", 2) == 1 else "l2"
    levels = {name: device.get(f"memory.{name}.{what}") for name, what in (("l1", "capacity"), (outer, "bandwidth"))}
    missing = [f"states no memory.{name}" for name, value in levels.items() if value is None]
    clock = next((c for name in CLOCKS if (c := device.get(f"clock.{name}")) is not None), None)
    if device.cache is not None:
        missing = [f"has a cache instead ({device.cache.name})"]
    if missing or clock is None:
        raise InputError(
            f"stack {stack.key} cuts layers into tiles for scratchpads, and device {device.key} "
            f"{(missing or ['states no clock.cluster'])[0]}; choose another stack, or a device such as gap8"
        )

    def budget(level: str) -> float:
        there = float(device.get(f"memory.{level}.capacity"))
        return max(0.0, there - float(stack.get(f"tiling.{level}_reserved", 0.0)))

    setup = device.get(f"memory.{device.main_memory}.latency", 0.0)
    return Machine(
        clock=float(clock), l1=budget("l1"), l2=budget(outer), outer=outer,
        dma=float(device.get(f"memory.{outer}.bandwidth")) / clock,
        dma_setup=float(device.get(f"memory.{outer}.latency", 0.0)) * clock,
        tile_overhead=float(stack.get("tiling.tile_overhead", 0.0)),
        layer_overhead=float(stack.get("tiling.layer_overhead", 0.0)),
        stream=float(device.bandwidth), stream_setup=float(setup),
        stream_limit=float(stack.get("tiling.stream_limit", inf)),
        capacity=float(device.capacity), rates=tuple(_rate(kind, device, stack, dtype, clock) for kind in KINDS),
        line_setup=float(stack.get("tiling.line_overhead", 0.0)) / float(device.get("clock.fabric", clock)),
        matrix=float(device.peak(Unit.TENSOR, dtype)) / clock, vector=float(device.peak(Unit.VECTOR, dtype)) / clock,
        beside=device.has_matrix_unit(dtype),
    )  # fmt: skip


def _rate(kind: str, device: Device, stack: Stack, dtype: DType, clock: Number) -> KernelRate:
    """What the stack states for a kind; else the arithmetic peak of the device, an array by its columns and rows."""
    unit = Unit.VECTOR if kind in ("pool", "elementwise") else Unit.TENSOR
    given = device.get("units.array_columns", device.get("units.cluster_core", device.units))
    cores = int(stack.get(f"kernel.{kind}.cores", given))
    peak = float(device.peak(unit, dtype)) / 2 / float(clock) / cores
    stated = stack.get(f"kernel.{kind}.rate")
    rows = int(device.get("units.array_rows", 1)) if stated is None else 1
    lanes = int(stack.get(f"kernel.{kind}.lanes", rows))
    per_output, per_input = (float(stack.get(f"kernel.{kind}.{what}", 0.0)) for what in ("per_output", "per_input"))
    activity = float(stack.get(f"kernel.{kind}.activity", 1.0))
    by_channel = bool(stack.get(f"kernel.{kind}.by_channel", 0))
    simd = int(stack.get(f"kernel.{kind}.simd", 1))
    rate = peak if stated is None else min(peak, float(stated) * _carried(stated * cores, device, stack, dtype, clock))
    return KernelRate(rate, per_output, per_input, cores, activity, lanes, by_channel, simd)


def _carried(products: Number, device: Device, stack: Stack, dtype: DType, clock: Number) -> float:
    """What a rate in the format of the stack is worth in another one [1]: the ratio of the device's peaks.

    products: that all cores together multiply per cycle [1]; the cores are meant if that is within their peak, else the
    matrix unit.
    """
    if stack.format in ("", dtype.name) or stack.format not in device.formats:
        return 1.0
    stated = DTYPES[stack.format]
    cores = device.peak(Unit.VECTOR, stated)
    reference = cores if 2 * products * clock <= cores else device.peak(Unit.TENSOR, stated)
    return float(device.peak(Unit.TENSOR, dtype) / reference)
