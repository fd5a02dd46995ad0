"""Weights and features from main memory: resident, loaded ahead, or streamed in pieces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from perfsim.costs.scratchpad.layer import Layer
from perfsim.costs.scratchpad.rates import Machine
from perfsim.costs.scratchpad.room import Misfit, Room
from perfsim.costs.scratchpad.tiles import Tiling

__all__ = ["Streaming", "first_pieces", "overlapped_runtime", "streaming", "transfer_runtime"]


@dataclass(frozen=True)
class Streaming:
    """What a layer takes from main memory in one execution.

    mode: of its weights: ``none``, ``resident``, ``prefetched``, ``loaded`` (when the layer starts), ``overlapped`` or
    ``serial`` (in pieces, hidden behind its arithmetic or not); pieces [1]; traffic: bytes over the bus, features
    included [byte]; busy: time of the bus [s]; exposed: time in which the cores wait [s].
    """

    mode: str
    pieces: int
    traffic: float
    busy: float
    exposed: float


def transfer_runtime(*, nbytes: float, pieces: int, bandwidth: float, setup: float) -> float:
    """Time of copying from main memory [s]: nbytes [byte] in ``pieces`` copies; bandwidth [byte/s]; setup [s] each."""
    return nbytes / bandwidth + pieces * setup


def overlapped_runtime(*, load: float, compute: float, pieces: int) -> float:
    """Time of a layer whose weights come in pieces, each behind the arithmetic of the one before [s].

    load, compute: of all pieces together [s].
    """
    return load / pieces + (pieces - 1) / pieces * max(load, compute) + compute / pieces


def _pieces_of(layer: Layer, room: Room, machine: Machine) -> int:
    """In how many pieces the weights come: one if they fit beside the features, else two buffers of equal pieces."""
    free = machine.l2 - room.live
    if layer.weights <= free:
        return 1
    channels = layer.target[0]
    return next((n for n in range(2, channels) if 2 * layer.weights / n <= free), channels)


def first_pieces(
    names: Sequence[str], layers: Sequence[Layer], room: Sequence[Room], machine: Machine
) -> list[Misfit]:
    """Layers of which not even one output channel's weights, twice, fit beside the features."""
    found = []
    for name, layer, there in zip(names, layers, room, strict=True):
        free = max(0.0, machine.l2 - there.live)
        needed = 2 * layer.weights / layer.target[0]
        if layer.weights > free and needed > free:
            found.append(Misfit(name, "the smallest piece of its weights", "l2", needed, free))
    return found


def streaming(
    layers: Sequence[Layer], room: Sequence[Room], cuts: Sequence[Tiling | None], order: Sequence[int],
    machine: Machine, resident: bool,
) -> list[Streaming]:  # fmt: skip
    """What every layer takes from main memory, mean over its executions, frame after frame.

    cuts: tilings of the layers; order: indices of the layers as they run.
    """
    seen: list[list[Streaming]] = [[] for _ in layers]
    before, free_bus = order[-1], 0.0
    for index in order:
        cut = cuts[index]
        time = 0.0 if cut is None else cut.total / machine.clock
        tiles = 1 if cut is None else math.ceil(layers[index].target[0] / cut.channels)
        ahead = _Ahead(layers[before].weights, machine.l2 - room[before].live, free_bus)
        found = _execution(layers[index], room[index], time, tiles, ahead, machine, resident)
        seen[index].append(found)
        hidden = time if found.mode == "prefetched" else time + found.exposed - found.busy
        before, free_bus = index, max(0.0, hidden)
    return [_mean(executions) for executions in seen]


@dataclass(frozen=True)
class _Ahead:
    """The layer before: its weights, room beside its features [byte], and how long its bus was free [s]."""

    weights: float
    room: float
    free_bus: float


def _execution(
    layer: Layer, here: Room, time: float, tiles: int, ahead: _Ahead, machine: Machine, resident: bool
) -> Streaming:
    """One execution. tiles: in how many pieces the inner scratchpad takes the weights [1]."""
    rate = {"bandwidth": machine.stream, "setup": machine.stream_setup}
    spill = transfer_runtime(nbytes=here.traffic, pieces=2 * len(here.spilled), **rate)
    busy_chip = max(time, spill)
    wait = busy_chip - time + here.strip / machine.stream
    if resident or not layer.weights:
        return Streaming("resident" if layer.weights else "none", 1, here.traffic, spill, wait)
    pieces = _pieces_of(layer, here, machine)
    load = transfer_runtime(nbytes=layer.weights, pieces=pieces, **rate)
    traffic, busy = here.traffic + layer.weights, spill + load
    if pieces == 1:
        if layer.weights + min(ahead.weights, ahead.room) <= ahead.room:
            return Streaming("prefetched", 1, traffic, busy, wait + max(0.0, load - ahead.free_bus))
        return Streaming("loaded", 1, traffic, busy, wait + load)
    if layer.weights <= machine.stream_limit:
        whole = overlapped_runtime(load=load, compute=busy_chip, pieces=pieces)
        return Streaming("overlapped", pieces, traffic, busy, wait + whole - busy_chip)
    pieces = max(pieces, tiles)
    load = transfer_runtime(nbytes=layer.weights, pieces=pieces, **rate)
    return Streaming("serial", pieces, traffic, spill + load, wait + load)


def _mean(executions: Sequence[Streaming]) -> Streaming:
    """All executions of a layer as one: they differ only in what ran before them."""
    first, count = executions[-1], len(executions)
    exposed = sum(e.exposed for e in executions) / count
    return Streaming(first.mode, first.pieces, first.traffic, first.busy, exposed)
