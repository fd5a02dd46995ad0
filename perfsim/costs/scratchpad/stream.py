"""Weights and features from main memory: resident, loaded ahead, or streamed in pieces."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from perfsim.costs.scratchpad.layer import Layer
from perfsim.costs.scratchpad.rates import Machine, transfer_runtime
from perfsim.costs.scratchpad.room import Misfit, Room
from perfsim.costs.scratchpad.tiles import BLOCK, Tiling

__all__ = ["Streaming", "first_pieces", "overlapped_runtime", "streaming"]


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


def overlapped_runtime(*, load: float, compute: float, pieces: int, restart: float = 0.0) -> float:
    """Time of a layer whose weights come in pieces, each behind the arithmetic of the one before [s].

    load, compute: of all pieces together [s]; restart: what every piece but the first adds [s], as each is a layer of
    its own to the tiler: its fixed work, and its first and last transfer.
    """
    each = load / pieces + (pieces - 1) / pieces * max(load, compute) + compute / pieces
    return each + (pieces - 1) * restart


def _least_pieces(layer: Layer, room: Room, machine: Machine) -> int:
    """In how many pieces the weights must come: one if they fit beside the features, else so many that two fit."""
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


@dataclass(frozen=True)
class _Mode:
    """One way to get the weights of a layer.

    found: what it takes if the bus had no time before; ahead: copy that such time would hide [s]; free: how long the
    bus is left alone while the layer runs [s].
    """

    found: Streaming
    ahead: float
    free: float

    def behind(self, chain: _Chain) -> _Chain:
        """The chain with one more execution, in this way."""
        found = replace(self.found, exposed=self.found.exposed - min(self.ahead, chain.free))
        return _Chain(chain.waited + found.exposed, self.free, (*chain.taken, found))


@dataclass(frozen=True)
class _Chain:
    """Executions up to a layer: how long the cores waited, how long the last left the bus alone [s], what each took."""

    waited: float
    free: float
    taken: tuple[Streaming, ...]


def streaming(
    layers: Sequence[Layer], room: Sequence[Room], cuts: Sequence[Tiling], order: Sequence[int],
    machine: Machine, resident: bool,
) -> list[Streaming]:  # fmt: skip
    """What every layer takes from main memory, mean over its executions.

    cuts: tilings of the layers; order: indices of the layers as they run. Of the ways that fit, each execution takes
    the one with which the whole pass waits least. What came before a layer matters by its waiting and by the time that
    its last execution left to the bus only, so the best chain for each way is kept (dynamic programming).
    """
    before, chains = order[-1], [_Chain(0.0, 0.0, ())]
    for index in order:
        ahead = machine.l2 - room[before].live
        beside = layers[index].weights + min(layers[before].weights, ahead) <= ahead
        ways = _modes(layers[index], room[index], cuts[index], beside, machine, resident)
        chains = [min((way.behind(chain) for chain in chains), key=lambda one: one.waited) for way in ways]
        before = index
    seen: list[list[Streaming]] = [[] for _ in layers]
    for index, found in zip(order, min(chains, key=lambda one: one.waited).taken, strict=True):
        seen[index].append(found)
    return [_mean(executions) for executions in seen]


def _modes(
    layer: Layer, here: Room, cut: Tiling, beside: bool, machine: Machine, resident: bool
) -> Iterator[_Mode]:
    """The ways that fit. beside: whether the weights fit beside the layer before."""
    time = cut.total / machine.clock
    setup = machine.line_setup or machine.stream_setup
    spill = transfer_runtime(nbytes=here.traffic, pieces=here.copies, bandwidth=machine.stream, setup=setup)
    chip = max(time, spill)
    wait = chip - time + (spill * here.strip / here.traffic if here.traffic else 0.0)
    if resident or not layer.weights:
        kept = Streaming("resident" if layer.weights else "none", 1, here.traffic, spill, wait)
        yield _Mode(kept, 0.0, chip - spill)
        return

    def taken(mode: str, pieces: int, exposed: float) -> Streaming:
        times = layer.passes if pieces > 1 else 1
        busy = spill + times * _copy(layer.weights, pieces, machine)
        return Streaming(mode, pieces, here.traffic + times * layer.weights, busy, wait + exposed)

    least, whole = _least_pieces(layer, here, machine), _copy(layer.weights, 1, machine)
    if least == 1:
        yield _Mode(taken("prefetched" if beside else "loaded", 1, whole), whole if beside else 0.0, chip - spill)
    if layer.weights <= machine.stream_limit:
        runtime, pieces = _overlapped(layer, cut, chip, least, machine)
        found = taken("overlapped", pieces, runtime - chip)
        yield _Mode(found, 0.0, max(0.0, runtime - found.busy))
    elif least > 1:
        pieces = max(least, math.ceil(layer.target[0] / cut.channels))
        exposed = layer.passes * _copy(layer.weights, pieces, machine)
        yield _Mode(taken("serial", pieces, exposed), 0.0, chip - spill)


def _copy(nbytes: float, pieces: int, machine: Machine) -> float:
    return transfer_runtime(nbytes=nbytes, pieces=pieces, bandwidth=machine.stream, setup=machine.stream_setup)


def _overlapped(layer: Layer, cut: Tiling, chip: float, least: int, machine: Machine) -> tuple[float, int]:
    """Time of a layer in the best number of pieces [s], and that number [1]; no piece is below one block."""
    restart = (machine.layer_overhead + cut.fill) / machine.clock

    def runtime(pieces: int) -> tuple[float, int]:
        load = layer.passes * _copy(layer.weights, pieces, machine)
        return overlapped_runtime(load=load, compute=chip, pieces=pieces, restart=restart), pieces

    least = max(2, least)
    return min(runtime(pieces) for pieces in range(least, max(least, layer.target[0] // BLOCK) + 1))


def _mean(executions: Sequence[Streaming]) -> Streaming:
    """All executions of a layer as one: they differ only in what ran before them."""
    first, count = executions[-1], len(executions)
    exposed = sum(e.exposed for e in executions) / count
    return Streaming(first.mode, first.pieces, first.traffic, first.busy, exposed)
