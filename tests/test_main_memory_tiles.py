"""Features that pass from main memory in tiles, plane by plane, and kernels whose cores share output channels."""

import math
import time
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perfsim as ps
from perfsim.costs.scratchpad import KINDS, KernelRate, Machine
from perfsim.costs.scratchpad.layer import Layer
from perfsim.costs.scratchpad.tiles import GAP, Outside, best_tiling

RATE = KernelRate(rate=2.0, per_output=16.0, per_input=20.0, cores=8, activity=1.0, by_channel=True)
MACHINE = Machine(
    clock=1e8, l1=38e3, l2=380e3, dma=8.0, dma_setup=10.0, tile_overhead=1000.0, layer_overhead=5000.0, stream=100e6,
    stream_setup=6.3e-6, stream_limit=math.inf, capacity=8e6, rates=(RATE,) * len(KINDS), line_setup=5e-6,
)  # fmt: skip
JOB = ps.SinglePass(batch=1, dtype="int8")
BOTH = Outside(sources=1, targets=1)


def pointwise(channels, outputs, rows, columns):
    sizes = ((channels, rows, columns), (outputs, rows, columns))
    return Layer("pointwise", 1, *sizes, (1, 1), (1, 1), channels * outputs * rows * columns, 1.0, channels * outputs)


def depthwise(channels, side):
    box = (channels, side, side)
    return Layer("depthwise", 1, box, box, (3, 3), (1, 1), channels * side * side * 9, 1.0, channels * 9.0)


def runtime(cut, machine=MACHINE):
    """The longer of the layer inside and its copies [s]."""
    return max(cut.total / machine.clock, cut.passed / machine.stream + cut.copies * machine.line_setup)


# Arithmetic by hand


def test_cores_that_share_channels():
    """64 channels to 64 at 125 positions: 8 cores take 8 channels each, and gather all positions once."""
    cut = best_tiling(pointwise(64, 64, 25, 5), replace(MACHINE, l1=1e5))
    assert cut.tiles == 1
    assert cut.compute == (64 * 64 * 125 / 2 + 64 * 125 * 16 + 64 * 125 * 20) / 8
    assert cut.scratch == 4 * 64  # four positions in columns
    few = best_tiling(pointwise(64, 20, 25, 5), replace(MACHINE, l1=1e5))
    work = (64 * 20 * 125 / 2 + 20 * 125 * 16 + 64 * 125 * 20) / 8
    assert few.compute == pytest.approx(work * 24 / 20)  # 20 channels take the three rounds that 24 would


def test_one_log_row_of_the_flow():
    """A window of the first layer costs its inputs once per output and plane."""
    layer = Layer("first", 1, (3, 32, 32), (8, 16, 16), (3, 3), (2, 2), 8 * 256 * 27, 1.0, 8 * 27.0)
    cut = best_tiling(layer, MACHINE)
    assert cut.compute == (8 * 256 * 27 / 2 + 8 * 256 * 16 + 8 * 256 * 3 * 20) / 8


def test_planes_that_are_whole_pass_in_one_copy():
    cut = best_tiling(pointwise(64, 32, 8, 8), MACHINE, BOTH)
    assert cut.tiles == 1
    assert (cut.passed, cut.copies) == (64 * 64 + 32 * 64, 2)
    assert best_tiling(pointwise(64, 32, 8, 8), MACHINE).copies == 0  # nothing lies outside


def test_lines_of_a_tile_are_a_copy_per_channel():
    cut = best_tiling(pointwise(16, 16, 100, 100), MACHINE, BOTH)
    tiles = math.ceil(100 / cut.rows)
    assert (cut.channels, cut.columns, cut.tiles) == (16, 100, tiles)
    assert tiles > 1
    assert cut.copies == 2 * 16 * tiles
    assert cut.passed == 2 * 16 * 100 * cut.rows * tiles  # the last tile is counted as a full one


def test_halos_are_read_again():
    cut = best_tiling(depthwise(8, 100), replace(MACHINE, l1=8e3), Outside(sources=1))
    tiles = math.ceil(8 / cut.channels) * math.ceil(100 / cut.rows) * math.ceil(100 / cut.columns)
    assert cut.columns < 100  # so each row of each channel is a copy
    assert cut.passed == tiles * cut.channels * (cut.rows + 2) * (cut.columns + 2)
    assert cut.copies == tiles * cut.channels * (cut.rows + 2)
    assert cut.passed > 8 * 100 * 100


# Properties


def cuts(size, multiple=1):
    return {min(size, -(-math.ceil(size / n) // multiple) * multiple) for n in range(1, size + 1)}


def brute(layer, machine, c, r, w):
    """Time of one cut [s], written down again; inf if it does not fit."""
    (channels, rows, columns), outputs = layer.source, layer.target[0]
    in_c, spatial = math.ceil(outputs / c), math.ceil(rows / r) * math.ceil(columns / w)
    tiles = in_c * spatial
    tile_in, tile_w, tile_out = channels * r * w, channels * c, c * r * w
    twice = [2 if n > 1 else 1 for n in (spatial, in_c, tiles)]
    used = tile_in * twice[0] + tile_w * twice[1] + tile_out * twice[2] + 4 * channels
    if used > machine.l1:
        return math.inf
    even = c / (8 * math.ceil(c / 8))
    work = layer.macs / 2 + outputs * rows * columns * 16 + in_c * rows * columns * channels * 20
    all_in, all_w = tile_in * spatial, tile_w * in_c
    loaded = min(all_w + all_in * (in_c if spatial > 1 else 1), all_in + all_w * (spatial if in_c > 1 else 1))
    dma = (loaded + outputs * rows * columns) / 8 + 3 * tiles * 10
    inside = max(work / (8 * even), dma) + (tile_in + tile_w + tile_out) / 8 + tiles * 1000 + 5000

    def copies(number):
        return 1 if (r, w) == (rows, columns) else number if w == columns else number * r

    outside = (all_in + tile_out * tiles) / machine.stream
    outside += (copies(channels) * spatial + copies(c) * tiles) * machine.line_setup
    return max(inside / machine.clock, outside)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([8, 24, 64]), st.sampled_from([8, 20, 64]), st.integers(1, 14), st.integers(1, 14),
    st.floats(0.1e-6, 20e-6),
)  # fmt: skip
def test_the_search_is_exact(channels, outputs, rows, columns, setup):
    machine = replace(MACHINE, l1=4000.0, line_setup=setup)
    layer = pointwise(channels, outputs, rows, columns)
    found = best_tiling(layer, machine, BOTH)
    best = min(brute(layer, machine, *cut) for cut in product(cuts(outputs, 4), cuts(rows), cuts(columns)))
    if found is None or found.inner < channels:
        assert best == math.inf  # input channels are cut only where nothing else fits
    else:
        assert best * (1 - 1e-12) <= runtime(found, machine) <= best / (1 - GAP)


SHAPES = st.one_of(
    st.builds(pointwise, st.sampled_from([16, 64, 200]), st.sampled_from([16, 128]), st.integers(2, 40), st.just(30)),
    st.builds(depthwise, st.sampled_from([8, 24, 96]), st.integers(3, 60)),
)


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.integers(0, 2), st.integers(0, 1), st.booleans(), st.floats(3e3, 60e3))
def test_plans_fit_and_more_scratchpad_never_hurts(layer, sources, targets, by_channel, l1):
    rates = (replace(RATE, by_channel=by_channel),) * len(KINDS)
    machines = [replace(MACHINE, l1=size, rates=rates) for size in (l1, 1.5 * l1)]
    small, large = (best_tiling(layer, machine, Outside(sources, targets)) for machine in machines)
    if small is None:
        return
    assert small.used <= l1
    assert large.used <= 1.5 * l1
    maps = layer.source[0] * math.prod(layer.source[1:]) * sources + layer.outputs * targets
    assert small.passed >= maps
    assert large.inner > small.inner or runtime(large) <= runtime(small) / (1 - GAP)


# Networks


NETWORKS = [("mobilenetv1-0.5-128", 0), ("mobilenetv2-0.5", 128), ("pulp-dronet-v2", 0)]


@pytest.mark.parametrize(("name", "side"), NETWORKS)
def test_plans_of_networks_fit(name, side):
    job = JOB.replace(image_size=side) if side else JOB
    p = ps.predict(name, job, on="gap8", stack="gap-autotiler")
    for layer in p.plan:
        assert layer.tiling.used <= 64 * 1024 - 17264
        assert layer.room.live <= 350e3
    assert p.memory.fits


def test_features_in_main_memory_pass_behind_the_arithmetic():
    p = ps.predict("mobilenetv1-1.0-224", JOB, on="gap8", stack="gap-autotiler")
    wide = next(layer for layer in p.plan if layer.name == "blocks.0.0.project")  # 32 to 64 channels at 112 x 112
    assert wide.room.copies == wide.tiling.copies == (32 + 64) * math.ceil(112 / wide.tiling.rows)
    line = 315 / ps.device("gap8").get("clock.fabric")
    bus = wide.tiling.passed / ps.device("gap8").bandwidth + wide.tiling.copies * line
    assert wide.runtime == pytest.approx(max(wide.on_chip, bus), rel=0.05)  # and what precedes the first tile
    larger = {"device.memory.l2.capacity": "8 MB"}
    q = ps.predict("mobilenetv1-1.0-224", JOB, on="gap8", stack="gap-autotiler", what_if=larger)
    assert all(not layer.room.spilled for layer in q.plan)
    assert q.runtime < p.runtime


def test_a_hundred_layers_take_about_a_second():
    start = time.process_time()
    p = ps.predict("densenet121", JOB, on="gap8", stack="gap-autotiler")  # most maps pass from main memory
    assert len(p.plan) > 300
    assert time.process_time() - start < 9  # 2.6 s on a busy core
