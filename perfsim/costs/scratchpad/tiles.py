"""The tiling of one layer: the cut that fits the inner scratchpad and takes the least time.

The search goes over all cuts into equal numbers of channels, rows and columns, fewest tiles first, and stops where the
fixed cost of the tiles alone leaves less than 0.02 % to gain; so over these cuts it is exact to 0.02 %.

References
----------
.. [1] A. Burrello et al., "DORY: Automatic End-to-End Deployment of Real-World DNNs on Low-Cost IoT MCUs", IEEE Trans.
   Computers 70(8), 2021 (arXiv 2008.07127).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from perfsim.costs.scratchpad.layer import Box, Layer
from perfsim.costs.scratchpad.rates import KernelRate, Machine, kernel_cycles, transfer_runtime

__all__ = ["Outside", "Tiling", "best_tiling", "smallest_tiling", "tiled_cycles"]

BLOCK = 4
"""Output channels are cut in multiples of it, as the kernels compute four at a time."""

GAP = 2e-4
"""Share by which a cut that was not tried could be faster than the one found [1]."""

GATHERED = ("first", "conv")
"""Kinds whose windows span planes: gathered into a row of the working buffer, or taken plane by plane."""

COLUMNS = 4
"""Positions that cores which share channels gather at a time."""

ACCUMULATOR = 4
"""Bytes of a partial sum, where the input channels are cut, too [byte]."""


@dataclass(frozen=True)
class Outside:
    """Maps of a layer that lie in main memory and pass tile by tile: how many are read, how many are written [1]."""

    sources: int = 0
    targets: int = 0


@dataclass(frozen=True)
class Tiling:
    """One cut of a layer, and what it costs.

    channels, rows, columns: of a tile of the output; inner: input channels of a tile; tiles: how many in all [1];
    source, weights, target: bytes of one tile of each [byte]; scratch: working buffers [byte]; used: bytes of the
    inner scratchpad, moving parts twice [byte]; compute, dma, fill: cycles of arithmetic, of transfers, and of what
    precedes the first and follows the last tile [cycle]; total [cycle]; moved: bytes between the scratchpads [byte];
    passed: bytes of features from and to main memory [byte]; copies: in how many copies they pass [1].
    """

    channels: int
    rows: int
    columns: int
    inner: int
    tiles: int
    source: float
    weights: float
    target: float
    scratch: float
    used: float
    compute: float
    dma: float
    fill: float
    total: float
    moved: float
    passed: float = 0.0
    copies: int = 0


def tiled_cycles(
    *, compute: float, dma: float, fill: float, tiles: float, tile_overhead: float, layer_overhead: float
) -> float:
    """Cycles of a layer whose transfers run behind its arithmetic [cycle].

    compute, dma: of all tiles together; fill: transfers before the first and behind the last tile; tile_overhead,
    layer_overhead: fixed work per tile and layer [cycle].
    """
    return max(compute, dma) + fill + tiles * tile_overhead + layer_overhead


@lru_cache(maxsize=4096)
def _sizes(size: int, multiple: int = 1) -> tuple[int, ...]:
    """Sizes of equal parts, largest first: all of it, halves, thirds, ..., rounded up to a multiple."""
    parts = (-(-size // number) for number in range(1, size + 1))
    return tuple(dict.fromkeys(min(size, -(-each // multiple) * multiple) for each in parts))


@lru_cache(maxsize=16384)
def best_tiling(layer: Layer, machine: Machine, outside: Outside = Outside()) -> Tiling | None:
    """The fastest cut that fits the inner scratchpad; None if not even the smallest tile fits.

    Input channels are cut only where nothing fits otherwise: their partial sums are four times as wide. Where features
    pass from or to main memory meanwhile, the longer of the two times is the least.
    """
    inner_cuts = (layer.source[0],) if layer.channelwise else _sizes(layer.source[0], BLOCK)
    for inner in inner_cuts:
        best: Tiling | None = None
        for candidate in _candidates(layer, machine, inner, outside):
            if best is None or _cycles(candidate, machine) < _cycles(best, machine):
                best = candidate
        if best is not None:
            return best
    return None


def smallest_tiling(layer: Layer, machine: Machine, outside: Outside = Outside()) -> Tiling:
    """The cut with the smallest tiles, whether it fits or not: no cut that fits takes longer than the best of them."""
    channels, inner = (1, layer.source[0]) if layer.channelwise else (BLOCK, min(BLOCK, layer.source[0]))
    endless = replace(machine, l1=math.inf)
    tile = (min(channels, layer.target[0]), 1, 1)
    found = _cut(layer, endless, machine.rate(layer.kind), tile, inner, outside)
    assert found is not None
    return found


def _cycles(cut: Tiling, machine: Machine) -> float:
    """Time of a cut, its passing features included [cycle]."""
    bus = transfer_runtime(nbytes=cut.passed, pieces=cut.copies, bandwidth=machine.stream, setup=machine.line_setup)
    return max(cut.total, bus * machine.clock)


def _candidates(layer: Layer, machine: Machine, inner: int, outside: Outside) -> Iterator[Tiling]:
    """Cuts that fit, leaving out those that more tiles alone make no faster than one already found."""
    rate = machine.rate(layer.kind)
    passed = _least_passed(layer, outside)
    best = math.inf
    cuts_c = _sizes(layer.target[0], 1 if layer.channelwise else BLOCK)
    cuts_h, cuts_w = _sizes(layer.target[1]), _sizes(layer.target[2])
    depth = math.ceil(layer.source[0] / inner) * layer.batch

    def hopeless(least: float, tiles: int, copies: int) -> bool:
        """Whether no cut with so much arithmetic, tiles and copies, or more of them, is faster than the best."""
        inside = max(least, 3 * tiles * depth * machine.dma_setup) + tiles * depth * machine.tile_overhead
        bus = transfer_runtime(nbytes=passed, pieces=copies, bandwidth=machine.stream, setup=machine.line_setup)
        return bool(max(inside + machine.layer_overhead, bus * machine.clock) >= best * (1 - GAP))

    for channels in cuts_c:
        in_c = math.ceil(layer.target[0] / channels)
        least = _least_compute(layer, rate, in_c)
        if hopeless(least, in_c, _copies(layer, (channels, *layer.target[1:]), inner, outside)):
            break
        for rows in cuts_h:
            in_h = in_c * math.ceil(layer.target[1] / rows)
            if hopeless(least, in_h, _copies(layer, (channels, rows, layer.target[2]), inner, outside)):
                break
            for columns in cuts_w:
                tile = channels, rows, columns
                tiles = in_h * math.ceil(layer.target[2] / columns)
                if hopeless(least, tiles, _copies(layer, tile, inner, outside)):
                    break
                found = _cut(layer, machine, rate, tile, inner, outside)
                if found is not None:
                    best = min(best, _cycles(found, machine))
                    yield found


def _least_compute(layer: Layer, rate: KernelRate, in_c: int) -> float:
    """Cycles of arithmetic that no cut into ``in_c`` parts of the channels goes below [cycle]."""
    gathered = 0 if layer.channelwise else _gathered(layer, rate, [in_c, 1, 1], layer.window(1, 1))
    cycles = kernel_cycles(
        macs=layer.macs * layer.batch, outputs=layer.outputs * layer.batch, gathered=gathered * layer.batch,
        rate=rate.rate, per_output=rate.per_output, per_input=rate.per_input, cores=rate.cores,
    )  # fmt: skip
    return float(cycles)


def _cut(
    layer: Layer, machine: Machine, rate: KernelRate, tile: tuple[int, int, int], inner: int, outside: Outside
) -> Tiling | None:
    """One cut with its cost; None if it does not fit."""
    channels, rows, columns = tile
    number = [math.ceil(whole / part) for whole, part in zip(layer.target, tile, strict=True)]
    depth = math.ceil(layer.source[0] / inner) if not layer.channelwise else 1
    places, spatial = math.prod(number), number[1] * number[2]
    window = layer.window(rows, columns)
    depth_of_source = channels if layer.channelwise else inner
    seen = min(window[0], layer.source[1]) * min(window[1], layer.source[2])
    source = depth_of_source * seen * layer.element * (1 + layer.operands)
    weights = layer.factor * channels / layer.target[0] / depth
    target = channels * rows * columns * layer.element * layer.kept
    scratch = _scratch(layer, rate, tile, window, inner, depth)
    cut_source = spatial * depth * (number[0] if layer.channelwise else 1)
    cut_weights = number[0] * depth
    sizes = ((source, cut_source), (weights, cut_weights), (target, places))
    used = scratch + sum(size * (2 if count > 1 else 1) for size, count in sizes)
    if used > machine.l1:
        return None
    compute = max(
        _compute(layer, rate, (channels, rows, columns), number, window),
        layer.batch * machine.at_peak(layer.flops, layer.vector),
    )
    moved = layer.batch * (
        _loaded(source, weights, number[0], spatial, depth, layer.channelwise)
        + layer.outputs * layer.element * layer.kept
    )
    tiles = places * depth * layer.batch
    dma = moved / machine.dma + 3 * tiles * machine.dma_setup
    fill = (source + weights + target) / machine.dma
    total = tiled_cycles(
        compute=compute, dma=dma, fill=fill, tiles=tiles, tile_overhead=machine.tile_overhead,
        layer_overhead=machine.layer_overhead,
    )  # fmt: skip
    passed = _passed(layer, (depth_of_source, *window), tile, (cut_source * layer.batch, places * layer.batch), outside)
    parts = (source, weights, target, scratch, used, compute, dma, fill, total, moved)
    return Tiling(channels, rows, columns, depth_of_source, tiles, *parts, *passed)


def _passed(layer: Layer, seen: Box, tile: Box, counts: tuple[int, int], outside: Outside) -> tuple[float, int]:
    """Bytes and copies of the features that pass, plane by plane, in tiles.

    seen, tile: channels, rows and columns of a tile of the input and of the output; counts: how many of each. The rows
    of a channel lie together if they are whole, and the channels if all their rows are there.
    """
    nbytes, copies = 0.0, 0
    read = (seen, layer.source, counts[0], outside.sources, 1.0)
    written = (tile, layer.target, counts[1], outside.targets, layer.kept)
    for part, whole, count, number, kept in (read, written):
        channels, rows, columns = (min(size, limit) for size, limit in zip(part, whole, strict=True))
        nbytes += number * count * channels * rows * columns * layer.element * kept
        copies += number * count * _lines(part, whole)
    return nbytes, copies


def _lines(part: Box, whole: Box) -> int:
    """In how many copies a part of a map passes whose channels, and whose rows, lie one after the other [1]."""
    flat = part[2] >= whole[2]
    if flat and part[1] >= whole[1]:
        return 1
    return min(part[0], whole[0]) * (1 if flat else min(part[1], whole[1]))


def _copies(layer: Layer, tile: Box, inner: int, outside: Outside) -> int:
    """Copies of the features that pass in such tiles [1]; smaller tiles of as many channels take no fewer."""
    if not (outside.sources or outside.targets):
        return 0
    in_c, *others = (math.ceil(whole / part) for whole, part in zip(layer.target, tile, strict=True))
    spatial = math.prod(others) * layer.batch
    copies = outside.targets * in_c * spatial * _lines(tile, layer.target)
    if outside.sources:
        seen = (tile[0] if layer.channelwise else inner, *layer.window(*tile[1:]))
        deep = in_c if layer.channelwise else math.ceil(layer.source[0] / inner)
        copies += outside.sources * spatial * deep * _lines(seen, layer.source)
    return copies


def _least_passed(layer: Layer, outside: Outside) -> float:
    """Bytes of passing features that no cut goes below: what is written, and read where windows leave nothing out."""
    written = outside.targets * layer.outputs * layer.kept
    whole = all(taps >= step for taps, step in zip(layer.kernel, layer.stride, strict=True))
    seen = (min(pair) for pair in zip(layer.window(*layer.target[1:]), layer.source[1:], strict=True))
    read = outside.sources * layer.source[0] * math.prod(seen) if whole else 0
    return layer.batch * layer.element * (written + read)


def _loaded(source: float, weights: float, in_c: int, spatial: int, depth: int, channelwise: bool) -> float:
    """Bytes loaded for one image in the better order of loops: weights stay, or features stay [byte]."""
    if channelwise:
        return source * in_c * spatial + weights * in_c * (spatial if in_c > 1 else 1)
    all_source, all_weights = source * spatial * depth, weights * in_c * depth
    whole = spatial * depth == 1
    weights_stay = all_weights + all_source * (1 if whole else in_c)
    features_stay = all_source + all_weights * (spatial if in_c * depth > 1 else 1)
    return min(weights_stay, features_stay)


def _scratch(
    layer: Layer, rate: KernelRate, tile: tuple[int, int, int], window: tuple[int, int], inner: int, depth: int
) -> float:
    """Working buffers of the kernels [byte].

    Cores that share positions gather two of them each, or one column of windows; cores that share channels gather four
    positions together where the kernel is one product of matrices, and slide over planes with wide sums elsewhere. The
    lanes of an array read windows where they lie.
    """
    sums = ACCUMULATOR * math.prod(tile)
    if rate.by_channel and layer.kind in (*GATHERED, "depthwise"):
        return sums
    wide = sums if depth > 1 else 0
    if rate.lanes > 1:
        return wide
    if layer.kind in GATHERED:
        return wide + 2 * rate.cores * inner * math.prod(layer.kernel) * layer.element
    if layer.kind == "depthwise":
        return rate.cores * layer.kernel[1] * window[0] * layer.element
    return wide + (COLUMNS * inner * layer.element if rate.by_channel and layer.kind == "pointwise" else 0)


def _compute(
    layer: Layer, rate: KernelRate, tile: tuple[int, int, int], number: list[int], window: tuple[int, int]
) -> float:
    """Cycles of arithmetic of all tiles. Cores share positions, or channels where each channel is its own."""
    channels, rows, columns = tile
    by_channel = rate.by_channel or layer.channelwise or layer.kind == "linear"
    shared = channels if by_channel else rows * columns
    even = shared / (rate.cores * math.ceil(shared / rate.cores))
    gathered = _gathered(layer, rate, number, window)
    cycles = kernel_cycles(
        macs=layer.macs * layer.batch, outputs=layer.outputs * layer.batch, gathered=gathered * layer.batch,
        rate=rate.rate * rate.filled(layer.products), per_output=rate.per_output, per_input=rate.per_input,
        cores=rate.cores * even,
    )  # fmt: skip
    return float(cycles)


def _gathered(layer: Layer, rate: KernelRate, number: list[int], window: tuple[int, int]) -> int:
    """What ``per_input`` counts in one image: what it is depends on how the kernel of this kind reads its input [1]."""
    if layer.channelwise:
        return layer.target[0] * number[1] * number[2] * math.prod(window)
    if layer.kind in GATHERED:
        return layer.outputs * layer.source[0] if rate.by_channel else number[0] * layer.positions * layer.kernel[0]
    if layer.kind == "pointwise" and rate.by_channel:
        return number[0] * layer.positions * layer.source[0]
    return 0
