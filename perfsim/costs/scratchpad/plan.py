"""The plan of a network on a device without caches: tiles of every layer, and where weights and features are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from perfsim.costs.lowering import Kernel
from perfsim.costs.scratchpad.layer import Layer
from perfsim.costs.scratchpad.rates import Machine
from perfsim.costs.scratchpad.reading import layer_of
from perfsim.costs.scratchpad.room import Misfit, Room, rooms
from perfsim.costs.scratchpad.stream import Streaming, first_pieces, streaming
from perfsim.costs.scratchpad.tiles import Outside, Tiling, best_tiling, smallest_tiling
from perfsim.graph import OperatorGraph

__all__ = ["LayerPlan", "NetworkPlan", "plan_network"]


@dataclass(frozen=True)
class LayerPlan:
    """One layer: its tiling, its weights, its features.

    name; layer: sizes; tiling: the fastest that fits, or the smallest where none does; room: the outer scratchpad
    meanwhile; streaming: what comes from main memory, mean over all executions; clock [Hz]; activity: share of the
    cores' power while they compute [1]; fits: whether the tiling does.
    """

    name: str
    layer: Layer
    tiling: Tiling
    room: Room
    streaming: Streaming
    clock: float
    activity: float
    fits: bool

    @property
    def on_chip(self) -> float:
        """Time of the layer once its data is in the outer scratchpad [s]."""
        return self.tiling.total / self.clock

    @property
    def runtime(self) -> float:
        """Time of the layer [s]: on the chip, and waiting for main memory."""
        return self.on_chip + self.streaming.exposed

    @property
    def parts(self) -> tuple[float, float, float, float]:
        """Times of arithmetic, of DMA, and of fixed work [s], and bytes between the scratchpads [byte]."""
        cut = self.tiling
        fixed = cut.total - max(cut.compute, cut.dma) - cut.fill
        return cut.compute / self.clock, cut.dma / self.clock, fixed / self.clock, cut.moved

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data in SI units, cycles counted by the clock of the cores."""
        tiling, layer = self.tiling, self.layer
        cut = {
            "fits": self.fits, "channels": tiling.channels, "rows": tiling.rows, "columns": tiling.columns,
            "input_channels": tiling.inner, "tiles": tiling.tiles, "input_bytes": tiling.source,
            "weight_bytes": tiling.weights, "output_bytes": tiling.target, "scratch_bytes": tiling.scratch,
            "l1_used": tiling.used,
            "compute_cycles": tiling.compute, "dma_cycles": tiling.dma, "fill_cycles": tiling.fill,
            "cycles": tiling.total,
        }  # fmt: skip
        return {
            "layer": self.name, "kind": layer.kind, "macs": layer.macs * layer.batch, "runtime": self.runtime,
            "tiling": cut, "weights": self.streaming.mode, "weight_bytes": layer.weights,
            "pieces": self.streaming.pieces, "from_main_memory": self.streaming.traffic,
            "waiting": self.streaming.exposed, "l2_live": self.room.live, "spilled": list(self.room.spilled),
        }  # fmt: skip

    def lines(self) -> Iterator[str]:
        """The plan in words."""
        tiling, stream = self.tiling, self.streaming
        verdict = "" if self.fits else "none fits; the smallest are "
        yield (
            f"tiles   : {verdict}{tiling.tiles} of {tiling.channels} channels × {tiling.rows} × {tiling.columns}, "
            f"{tiling.used:.0f} byte of l1 (input {tiling.source:.0f}, weights {tiling.weights:.0f}, "
            f"output {tiling.target:.0f}, working buffers {tiling.scratch:.0f})"
        )
        overhead = tiling.total - max(tiling.compute, tiling.dma) - tiling.fill
        yield (
            f"cycles  : max(compute {tiling.compute:.0f}, dma {tiling.dma:.0f}) + fill {tiling.fill:.0f} + "
            f"tiles and layer {overhead:.0f} = {tiling.total:.0f} at {self.clock / 1e6:g} MHz"
        )
        spilled = f"; in main memory: {', '.join(self.room.spilled)}" if self.room.spilled else ""
        yield (
            f"weights : {stream.mode}, {self.layer.weights:.0f} byte in {stream.pieces} piece(s); waiting for main "
            f"memory {stream.exposed * 1e3:.3g} ms; features in l2 {self.room.live:.0f} byte{spilled}"
        )


@dataclass(frozen=True)
class NetworkPlan:
    """All layers in order; resident: whether all weights stay in the outer scratchpad; misfits: what cannot fit."""

    layers: tuple[LayerPlan, ...]
    resident: bool
    misfits: tuple[Misfit, ...]

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data."""
        return {
            "resident": self.resident, "fits": not self.misfits, "misfits": [str(m) for m in self.misfits],
            "layers": [layer.to_dict() for layer in self.layers],
        }  # fmt: skip


def plan_network(
    names: Sequence[str], kernels: Sequence[Kernel], graph: OperatorGraph, order: Sequence[int], machine: Machine
) -> NetworkPlan:
    """The plan of one pass.

    names: of the kernels; order: indices of the kernels in the order in which they run, repetitions included.
    """
    layers = [layer_of(kernel, graph) for kernel in kernels]
    room, misfits, spilled = rooms(kernels, layers, graph, machine.l2)
    passing = [_outside(*pair) if machine.planar else Outside() for pair in zip(kernels, room, strict=True)]
    found = [best_tiling(layer, machine, outside) for layer, outside in zip(layers, passing, strict=True)]
    cuts = [
        cut or smallest_tiling(layer, machine, outside)
        for layer, outside, cut in zip(layers, passing, found, strict=True)
    ]
    room = [_in_tiles(*pair) if machine.planar else pair[0] for pair in zip(room, cuts, strict=True)]
    misfits += [
        _too_large(name, cut, machine)
        for name, cut, fitting in zip(names, cuts, found, strict=True)
        if fitting is None
    ]
    all_weights = sum(layers[index].weights for index in order)
    resident = all_weights + max(r.live for r in room) <= machine.l2
    if spilled + (0 if resident else all_weights) > machine.capacity:
        worst = max(range(len(layers)), key=lambda i: layers[i].weights)
        misfits.append(
            Misfit(
                names[worst], f"{names[worst]}.weight (the largest of all weights)", "main memory",
                all_weights + spilled, machine.capacity,
            )
        )
    streams = streaming(layers, room, cuts, order, machine, resident)
    misfits += [] if resident else first_pieces(names, layers, room, machine)
    plans = tuple(
        LayerPlan(
            names[i], layer, cuts[i], room[i], streams[i], machine.clock, machine.rate(layer.kind).activity,
            found[i] is not None,
        )
        for i, layer in enumerate(layers)
    )
    return NetworkPlan(plans, resident, tuple(misfits))


def _outside(kernel: Kernel, room: Room) -> Outside:
    """Which maps of a kernel pass from and to main memory."""
    touched = ({name for _, name in side} & set(room.spilled) for side in (kernel.reads, kernel.writes))
    return Outside(*(len(names) for names in touched))


def _in_tiles(room: Room, cut: Tiling) -> Room:
    """The room of a layer whose features pass in the tiles of the inner scratchpad, not in strips of rows."""
    if not room.spilled:
        return room
    return replace(room, traffic=cut.passed, strip=cut.passed / cut.tiles, copies=cut.copies)


def _too_large(name: str, cut: Tiling, machine: Machine) -> Misfit:
    """The part of the smallest tile of a layer that takes most of what the inner scratchpad has not."""
    parts = {"input": cut.source, "weights": cut.weights, "output": cut.target, "working buffers": cut.scratch}
    worst = max(parts, key=lambda part: parts[part])
    return Misfit(name, f"the smallest tile, most of it {worst},", "l1", cut.used, machine.l1)
