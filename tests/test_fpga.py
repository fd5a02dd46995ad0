"""Datapaths declared by array, memory and clock; and weights from main memory: more room never costs time."""

import math
from dataclasses import replace
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perfsim as ps
from perfsim.costs.scratchpad import KINDS, KernelRate, Machine
from perfsim.costs.scratchpad.layer import Layer
from perfsim.costs.scratchpad.room import Room
from perfsim.costs.scratchpad.stream import _Chain, _modes, overlapped_runtime, streaming
from perfsim.costs.scratchpad.tiles import best_tiling
from perfsim.errors import InputError
from perfsim.validation.sanity_units import peak_from_units
from tests.pages import ROOT

JOB = ps.SinglePass(batch=1, dtype="int8")
PAGE = (ROOT / "docs/microcontrollers.md").read_text()
ARRAY = PAGE.split("```toml my-array.toml\n")[1].split("```")[0]


@pytest.fixture
def array(tmp_path):
    """The datapath of the page: 16 x 16 at 200 MHz, 256 KiB, 2.4 GB/s."""
    path = tmp_path / "my-array.toml"
    path.write_text(ARRAY)
    return ps.device(str(path))


# The array


def test_lanes_that_find_no_product_are_lost():
    rate = KernelRate(rate=16.0, per_output=0, per_input=0, cores=16, activity=1.0, lanes=16)
    assert rate.filled(9) == 9 / 16  # a depthwise window
    assert rate.filled(27) == 27 / 32  # three channels of 3 x 3: two rounds
    assert rate.filled(64) == 1
    assert rate.filled(0) == 1  # nothing to multiply
    assert replace(rate, lanes=1).filled(9) == 1


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 64))
def test_filled_is_a_share(products, lanes):
    filled = KernelRate(float(lanes), 0, 0, 1, 1.0, lanes).filled(products)
    assert 0 < filled <= 1
    assert products / filled == pytest.approx(lanes * math.ceil(products / lanes))


def test_a_layer_on_the_array(array):
    p = ps.predict("mobilenetv1-1.0-128", JOB, on=array, stack="fpga-array")
    layers = {layer.name: layer for layer in p.plan}
    point = layers["blocks.3.1.project"]  # 512 channels to 512 at 8 x 8
    assert point.tiling.compute == 512 * 512 * 64 / (16 * 16)  # 32 rounds of rows, 4 of columns, all full
    assert layers["stem"].tiling.compute == 32 * 64 * 64 * 2 / 16  # 27 products: two rounds of 16 rows
    depth = layers["blocks.3.1.depthwise"]
    assert depth.tiling.channels == 8
    assert depth.tiling.compute == 512 * 64 / 8  # one round of 9 of 16 rows, 8 of 16 columns
    assert depth.tiling.compute < depth.tiling.dma  # which costs nothing: the bus is the bound
    assert point.clock == 200e6
    for layer in p.plan:
        assert layer.tiling.used <= 256 * 1024
        assert layer.layer.macs / layer.on_chip <= 16 * 16 * 200e6


def test_one_scratchpad_is_filled_from_main_memory(array):
    p = ps.predict("mobilenetv1-1.0-128", JOB, on=array, stack="fpga-array")
    assert p.traffic == pytest.approx(sum(layer.tiling.moved * count for layer, count in executed(p)))
    weights = sum(layer.layer.weights * count for layer, count in executed(p))
    assert p.traffic > weights  # all of them once, and the features
    assert p.runtime >= p.traffic / 2.4e9 / (1 + 1e-12)
    assert p.memory.fits
    faster = array.replace(**{"memory.ddr.bandwidth": 4.8e9})
    wide = ps.predict("mobilenetv1-1.0-128", JOB, on=faster, stack="fpga-array")
    assert p.runtime / 2 <= wide.runtime <= p.runtime


def executed(p):
    return [(cost.plan, count) for cost, count in p.costs[0].kernels]


def test_a_memory_that_is_too_small_says_so(array):
    p = ps.predict("mobilenetv1-1.0-128", JOB, on=array.replace(**{"memory.l1.capacity": 20.0}), stack="fpga-array")
    assert p.memory.fits is False
    assert {misfit.level for misfit in p.memory.misfits} == {"l1"}


def test_the_peak_is_that_of_the_array(array):
    assert list(peak_from_units(array)) == []
    (problem,) = peak_from_units(array.replace(**{"units.array_rows": 32}))
    assert "102.4 GFLOP/s is 1 at" in str(problem)
    assert "FLOP per cycle and cell of the array" in str(problem)


def test_a_datapath_needs_a_memory(tmp_path):
    path = tmp_path / "bare.toml"
    path.write_text(ARRAY.replace("[memory.l1]", "[memory.buffer]"))
    with pytest.raises(InputError) as refusal:
        ps.predict("mobilenetv1-1.0-128", JOB, on=str(path), stack="fpga-array")
    assert str(refusal.value) == (
        "stack fpga-array cuts layers into tiles for scratchpads, and device bare states no memory.l1; choose another "
        "stack, or a device such as gap8"
    )


@pytest.mark.parametrize(
    ("name", "printed", "measured", "ceiling"),
    [("codenet-512", 1.14e9, 9.3, 53), ("codenet-256", 0.29e9, 32.2, 207), ("codenet-256-maxpool", 0.29e9, 26.9, 198)],
)
def test_codenet_lies_below_its_ceilings(name, printed, measured, ceiling):
    """The whole networks: measured < tiled from memory < all multiplies at the peak of the board."""
    p = ps.predict(name, JOB, on="ultra96-codenet", stack="fpga-array")
    products = ps.model(name).counts().products
    assert products == pytest.approx(printed, rel=0.04)  # what is printed also counts normalised outputs and offsets
    assert measured < 1 / p.runtime < 360e9 / (2 * products)
    assert 1 / p.runtime == pytest.approx(ceiling, abs=1)  # the figure of the page


def test_codenet_has_its_published_operations():
    """The printed 1.14 G count two operations per normalised output, but no products of deformable convolutions."""
    model = ps.model("codenet-512")
    counts = model.counts()
    assert counts.products == 1_118_328_832
    assert ps.model("codenet-256").counts().products * 4 == counts.products  # a quarter of the positions
    assert counts.parameters == pytest.approx(0.76e6 * 8 / 4, rel=0.06)  # 0.76 MB at 4 bit


def test_mcunet_has_its_published_size():
    counts = ps.model("mcunet-in3").counts()
    assert counts.products == 81_785_520  # 81.8 M published
    assert counts.parameters == pytest.approx(0.74e6, abs=5e3)
    p = ps.predict("mcunet-in3", JOB, on="gap8", stack="dory")
    wide = next(layer for layer in p.plan if layer.name == "b1.dw")  # 24 channels, 88 x 88 to 44 x 44, 7 x 7, stride 2
    assert wide.layer.macs == 24 * 44 * 44 * 49 == 2_276_736
    assert p.memory.fits


# Weights from main memory

RATE = KernelRate(rate=2.0, per_output=16.0, per_input=20.0, cores=8, activity=1.0)
MACHINE = Machine(
    clock=1e8, l1=38e3, l2=380e3, dma=8.0, dma_setup=10.0, tile_overhead=1000.0, layer_overhead=5000.0, stream=75e6,
    stream_setup=6.3e-6, stream_limit=600e3, capacity=8e6, rates=(RATE,) * len(KINDS),
)  # fmt: skip


def pointwise(channels, outputs, side):
    sizes = ((channels, side, side), (outputs, side, side))
    return Layer("pointwise", 1, *sizes, (1, 1), (1, 1), channels * outputs * side**2, 1.0, float(channels * outputs))


SHAPES = st.builds(
    pointwise, st.sampled_from([32, 128, 512, 1024]), st.sampled_from([32, 128, 512, 1024]), st.sampled_from([2, 4, 8])
)


def waited(layers, machine):
    rooms = [Room(layer.source[0] * layer.positions + layer.outputs, (), 0.0, 0.0) for layer in layers]
    cuts = [best_tiling(layer, machine) for layer in layers]
    found = streaming(layers, rooms, cuts, range(len(layers)), machine, resident=False)
    return sum(stream.exposed for stream in found), rooms, cuts


@settings(max_examples=30, deadline=None)
@given(st.lists(SHAPES, min_size=1, max_size=5), st.floats(1.1, 4.0), st.sampled_from([1.0, 600e3, math.inf]))
def test_more_room_never_costs_time(layers, factor, limit):
    machine = replace(MACHINE, stream_limit=limit)
    small, _, cuts = waited(layers, machine)
    large, *_ = waited(layers, replace(machine, l2=machine.l2 * factor))
    whole = small + sum(cut.total for cut in cuts) / machine.clock
    assert large <= small + 1e-3 * whole  # set-ups of the bus


@settings(max_examples=20, deadline=None)
@given(st.lists(SHAPES, min_size=1, max_size=4))
def test_the_best_chain_is_found(layers):
    found, rooms, cuts = waited(layers, MACHINE)
    ways = []
    for index, layer in enumerate(layers):
        before = index - 1 if index else len(layers) - 1
        free = MACHINE.l2 - rooms[before].live
        beside = layer.weights + min(layers[before].weights, free) <= free
        ways.append(list(_modes(layer, rooms[index], cuts[index], beside, MACHINE, False)))
    totals = []
    for chosen in product(*ways):
        chain = _Chain(0.0, 0.0, ())
        for way in chosen:
            chain = way.behind(chain)
        totals.append(chain.waited)
    assert found == pytest.approx(min(totals))


def test_pieces_pay_their_start():
    # four pieces of 1 s and 2 s, three starts of 0.5 s
    assert overlapped_runtime(load=4.0, compute=8.0, pieces=4, restart=0.5) == 1 + 3 * 2 + 2 + 3 * 0.5


@pytest.mark.parametrize("model", ["mobilenetv1-1.0-128", "squeezenet-1.1"])
@pytest.mark.parametrize("stack", ["dory", "gap-autotiler"])
def test_a_larger_l2_makes_no_network_slower(model, stack):
    times = [
        ps.predict(
            model, JOB.replace(image_size=128), on="gap8", stack=stack,
            what_if={"device.memory.l2.capacity": f"{size} kB"},
        ).runtime
        for size in (256, 512, 768, 1024, 2048, 4096)
    ]  # fmt: skip
    assert all(later <= earlier * (1 + 1e-4) for earlier, later in pairwise(times))
