"""Tiles, streams and rooms of scratchpads: arithmetic by hand, properties, and what is refused."""

import json
import math
import time
from dataclasses import replace
from itertools import pairwise, product

import pytest
import sympy
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import perfsim as ps
from perfsim.architectures import ImageStep
from perfsim.cli.main import cli
from perfsim.costs.activity import active_energy
from perfsim.costs.duty import battery_life, duty_share, race_energy, steady_energy
from perfsim.costs.lowering import kernels_of
from perfsim.costs.scratchpad import KINDS, KernelRate, Machine
from perfsim.costs.scratchpad.layer import Layer
from perfsim.costs.scratchpad.rates import kernel_cycles, transfer_runtime
from perfsim.costs.scratchpad.reading import layer_of
from perfsim.costs.scratchpad.stream import overlapped_runtime
from perfsim.costs.scratchpad.tiles import GAP, best_tiling, smallest_tiling
from perfsim.errors import InputError
from perfsim.quantities.dimensions import Dimension, Traced
from perfsim.quantities.dtypes import DTYPES

RATE = KernelRate(rate=2.0, per_output=16.0, per_input=20.0, cores=8, activity=1.0)
MACHINE = Machine(
    clock=1e8, l1=38e3, l2=380e3, dma=8.0, dma_setup=10.0, tile_overhead=1000.0, layer_overhead=5000.0, stream=75e6,
    stream_setup=6.3e-6, stream_limit=600e3, capacity=8e6, rates=(RATE,) * len(KINDS),
)  # fmt: skip
JOB = ps.SinglePass(batch=1, dtype="int8")


def pointwise(channels, outputs, rows, columns):
    macs = channels * outputs * rows * columns
    sizes = ((channels, rows, columns), (outputs, rows, columns))
    return Layer("pointwise", 1, *sizes, (1, 1), (1, 1), macs, 1.0, channels * outputs)


def test_a_layer_in_one_tile():
    layer = pointwise(64, 32, 8, 8)
    cut = best_tiling(layer, MACHINE)
    assert (cut.tiles, cut.channels, cut.rows, cut.columns) == (1, 32, 8, 8)
    assert cut.used == 64 * 64 + 64 * 32 + 32 * 64  # input, weights, output, each once: nothing changes
    assert cut.compute == (131072 / 2 + 2048 * 16) / 8  # macs / rate + outputs · per_output, on 8 cores
    moved = 4096 + 2048 + 2048
    assert cut.dma == moved / 8 + 3 * 10
    assert cut.total == cut.compute + moved / 8 + 1000 + 5000  # fill: all of it, before and behind the only tile


def test_cores_that_find_no_position_are_lost():
    # 49 positions on 8 cores take 7 rounds, as 56 would
    a, b = (best_tiling(pointwise(16, 16, 7, columns), MACHINE).compute for columns in (7, 8))
    assert a == pytest.approx(b)


def cuts(size):
    return sorted({min(size, -(-math.ceil(size / n) // 4) * 4) for n in range(1, size + 1)})


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([8, 24, 64, 96]), st.sampled_from([8, 20, 64]), st.integers(1, 12), st.integers(1, 12))
def test_the_search_is_exact(channels, outputs, rows, columns):
    machine = replace(MACHINE, l1=3000.0)
    layer = pointwise(channels, outputs, rows, columns)
    found = best_tiling(layer, machine)
    if found is None:
        return
    assert found.used <= machine.l1
    parts = [{math.ceil(size / n) for n in range(1, size + 1)} for size in (rows, columns)]
    totals = [brute(layer, machine, *cut) for cut in product(cuts(outputs), *parts)]
    if found.inner == channels:
        assert min(totals) * (1 - 1e-12) <= found.total <= min(totals) / (1 - GAP)
    else:
        assert min(totals) == math.inf  # input channels are cut only where nothing else fits


def brute(layer, machine, c, r, w):
    """Time of one cut, written down again: inf if it does not fit."""
    channels, rows, columns = layer.source
    outputs = layer.target[0]
    in_c, spatial = math.ceil(outputs / c), math.ceil(rows / r) * math.ceil(columns / w)
    tile_in, tile_w, tile_out = channels * r * w, channels * c, c * r * w
    twice = [2 if n > 1 else 1 for n in (spatial, in_c, in_c * spatial)]
    if tile_in * twice[0] + tile_w * twice[1] + tile_out * twice[2] > machine.l1:
        return math.inf
    even = r * w / (8 * math.ceil(r * w / 8))
    compute = (layer.macs / 2 + outputs * rows * columns * 16) / (8 * even)
    all_in, all_w = tile_in * spatial, tile_w * in_c
    weights_stay = all_w + all_in * (in_c if spatial > 1 else 1)
    features_stay = all_in + all_w * (spatial if in_c > 1 else 1)
    tiles = in_c * spatial
    dma = (min(weights_stay, features_stay) + outputs * rows * columns) / 8 + 3 * tiles * 10
    return max(compute, dma) + (tile_in + tile_w + tile_out) / 8 + tiles * 1000 + 5000


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([16, 64, 200]), st.sampled_from([16, 128]), st.integers(2, 30), st.floats(4e3, 60e3))
def test_more_scratchpad_never_hurts(channels, outputs, side, l1):
    layer = pointwise(channels, outputs, side, side)
    small, large = (best_tiling(layer, replace(MACHINE, l1=size)) for size in (l1, 2 * l1))
    if small is not None:
        assert large.inner >= small.inner
        assert large.total <= small.total / (1 - GAP) or large.inner > small.inner


def test_input_channels_are_cut_where_nothing_else_fits():
    layer = Layer("conv", 1, (4096, 3, 3), (8, 3, 3), (3, 3), (1, 1), 4096 * 9 * 72, 1.0, 4096 * 9 * 8.0)
    cut = best_tiling(layer, MACHINE)
    assert cut.inner < 4096
    assert cut.used <= MACHINE.l1
    assert smallest_tiling(layer, MACHINE).used <= cut.used


def test_formulas_by_hand():
    assert kernel_cycles(macs=80, outputs=10, gathered=5, rate=2, per_output=16, per_input=20, cores=4) == 75
    assert transfer_runtime(nbytes=75e6, pieces=2, bandwidth=75e6, setup=0.5) == 2.0
    # four pieces of 1 s and 2 s: the first load, three times the longer, the last arithmetic
    assert overlapped_runtime(load=4.0, compute=8.0, pieces=4) == 1 + 3 * 2 + 2
    assert overlapped_runtime(load=8.0, compute=4.0, pieces=4) == 2 + 3 * 2 + 1
    assert active_energy(runtime=2.0, base=3.0, busy=0.5, cores=4.0) == 8.0
    assert duty_share(runtime=0.02, frame_rate=10) == 0.2
    assert race_energy(energy=1.0, runtime=0.02, frame_rate=10, rest=2.0) == pytest.approx(1.16)  # 0.08 s at rest
    assert steady_energy(energy=1.0, runtime=0.02, frame_rate=10, static=0.5) == pytest.approx(1.04)
    assert race_energy(energy=1.0, runtime=0.2, frame_rate=10, rest=2.0) == 1.0  # no time to rest
    assert battery_life(battery=3600.0, power=0.1) == 36000.0


def test_formulas_have_the_right_dimensions():
    second, watt, joule = (Dimension.of(s=1), Dimension.of(J=1, s=-1), Dimension.of(J=1))
    energy = active_energy(
        runtime=Traced(2.0, second), base=Traced(3.0, watt), busy=Traced(0.5, second), cores=Traced(4.0, watt)
    )
    assert (energy.value, energy.dimension) == (8.0, joule)
    assert battery_life(battery=Traced(8.0, joule), power=Traced(2.0, watt)).dimension == second


def test_the_plan_adds_up():
    p = ps.predict("mobilenetv2-0.5", JOB.replace(image_size=96), on="gap8", stack="dory")
    assert sum(cost.plan.runtime * count for cost, count in p.costs[0].kernels) == pytest.approx(p.runtime)
    machine_l1, machine_l2 = 38e3, 380e3
    for layer in p.plan:
        assert layer.tiling.used <= machine_l1
        assert layer.room.live <= machine_l2
        assert layer.runtime >= layer.layer.macs / 32 / 100e6  # never above 32 multiply-accumulates per cycle
    assert (p.memory.fits, p.memory.misfits) == (True, ())
    data = json.loads(json.dumps(p.to_dict()))
    assert [entry["layer"] for entry in data["plan"]] == [layer.name for layer in p.plan]
    assert data["plan"][0]["tiling"]["l1_used"] <= machine_l1
    assert data["memory"]["misfits"] == []


def test_weights_that_fit_stay():
    p = ps.predict("frontnet-80x32", JOB, on="gap8", stack="dory")
    assert {layer.streaming.mode for layer in p.plan} == {"resident", "none"}  # the pooling has no weights
    assert p.traffic == 0
    larger = {"device.memory.l2.capacity": "8 MB"}
    q = ps.predict("mobilenetv1-1.0-128", JOB, on="gap8", stack="dory", what_if=larger)
    assert {layer.streaming.mode for layer in q.plan} == {"resident", "none"}
    assert q.runtime < ps.predict("mobilenetv1-1.0-128", JOB, on="gap8", stack="dory").runtime


def test_features_that_are_too_wide_go_to_main_memory():
    p = ps.predict("mobilenetv1-1.0-224", JOB, on="gap8", stack="dory")
    wide = next(layer for layer in p.plan if layer.name == "blocks.0.0.project")
    assert "blocks.0.0.project.act.out" in wide.room.spilled  # 112 · 112 · 64 byte
    assert 112 * 112 * 64 > 380e3
    assert wide.room.traffic >= 112 * 112 * 64


def test_what_cannot_fit_says_so():
    p = ps.predict("resnet18", JOB, on="gap8", stack="dory")
    assert p.memory.fits is False
    (misfit,) = p.memory.misfits
    assert (misfit.level, misfit.there) == ("main memory", 8 * 2**20)
    assert misfit.needed - misfit.there > 3e6
    assert p.remarks == (f"does not fit: {misfit}",)
    tiny = {"device.memory.l1.capacity": "26.1 kB"}  # 26 kB are reserved
    q = ps.predict("frontnet-80x32", JOB, on="gap8", stack="dory", what_if=tiny)
    assert q.memory.fits is False
    assert {misfit.level for misfit in q.memory.misfits} == {"l1"}
    assert "the smallest tile, most of it working buffers, of layer block0.conv1 does not fit into l1" in str(q.remarks)


@pytest.mark.parametrize("stack", ["dory", "gap-autotiler"])
def test_a_hundred_layers_are_planned_within_a_second(stack):
    best_tiling.cache_clear()
    start = time.process_time()
    p = ps.predict("densenet121", JOB, on="gap8", stack=stack)
    assert len(p.plan) > 100
    assert time.process_time() - start < 2  # 0.4 s on an idle core; the bound is loose for busy machines


REFUSALS = [
    (
        "h100-sxm5-80gb", "stack dory cuts layers into tiles for scratchpads, and device h100-sxm5-80gb has "
        "a cache instead (l2); choose another stack, or a device such as gap8",
    ),
    (
        "stm32h743", "stack dory cuts layers into tiles for scratchpads, and device stm32h743 states no memory.l2; "
        "choose another stack, or a device such as gap8",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("device", "message"), REFUSALS)
def test_devices_without_scratchpads(device, message):
    anywhere = replace(ps.stack("dory"), runs_on=(), vendors=())
    with pytest.raises(InputError) as refusal:
        ps.predict("frontnet-80x32", JOB, on=device, stack=anywhere)
    assert str(refusal.value) == message


def test_language_models_are_refused():
    with pytest.raises(InputError) as refusal:
        ps.predict("gpt2", ps.Inference(prompt_tokens=8, output_tokens=2, dtype="int8"), on="gap8", stack="dory")
    assert "a stack that cuts layers into tiles plans image networks only" in str(refusal.value)


def test_a_plan_needs_numbers():
    model = ps.model("frontnet-80x32")
    graph = model.graph(ImageStep(sympy.Symbol("B"), model.image_size, DTYPES["int8"], DTYPES["int8"]))
    with pytest.raises(InputError) as refusal:
        layer_of(kernels_of(graph, ps.stack("dory"))[0], graph)
    assert str(refusal.value) == (
        "stem: a device without caches is planned layer by layer, for plain numbers only; predict one batch and image "
        "size at a time"
    )


def test_explain_shows_the_plan():
    text = ps.predict("mobilenetv1-1.0-128", JOB, on="gap8", stack="dory").explain(operator="blocks.4.1.project")
    assert "tiles   : 128 of 8 channels × 4 × 4" in text
    assert "weights : serial, 1049600 byte in 128 piece(s)" in text  # 1024 · 1024 and as many biases


def test_the_command_line_exports_the_plan():
    words = ["predict", "frontnet-80x32", "--on", "gap8", "--stack", "dory", "--dtype", "int8", "--json"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["plan"][0]["kind"] == "first"


def test_duty_cycles():
    p = ps.predict("frontnet-160x16", JOB, on="gap8", stack="dory", what_if={"device.operating_point": "1.2V"})
    cycle = ps.duty_cycle(p, frame_rate=10, battery="0.9 Wh", sensor="4.5 mW", radio=0.01)
    assert cycle.share == pytest.approx(10 * p.runtime)
    assert cycle.energy == pytest.approx(p.energy + 30e-6 * (0.1 - p.runtime))  # asleep at 30 µW
    assert cycle.power == pytest.approx(10 * cycle.energy + 0.0145)
    assert cycle.battery_life == pytest.approx(0.9 * 3600 / cycle.power)
    idle = ps.duty_cycle(p, frame_rate=10, rest="idle")
    assert idle.energy == pytest.approx(p.energy + 18.3e-3 * (0.1 - p.runtime))
    assert idle.battery_life is None
    fast = ps.duty_cycle(p, frame_rate=1000)
    assert (fast.keeps_up, fast.energy) == (False, pytest.approx(p.energy))
    points = ps.duty_cycles("frontnet-160x16", JOB, ps.device("gap8"), stack="dory", frame_rate=100)
    assert [cycle.keeps_up for cycle in points.values()] == [True, False]  # the slow point comes last, it is too slow
    assert list(points) == ["1.2V", "1.0V"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"frame_rate": 0}, "frame_rate=0: expected frames per second, above 0 and below 1e9"),
        ({"frame_rate": 10, "rest": "off"}, 'rest="off": expected sleep, idle, or a power such as "2 mW"'),
        ({"frame_rate": 10, "battery": 0.0}, 'battery=0.0: expected an energy above 0, e.g. "0.9 Wh"'),
        ({"frame_rate": 10, "sensor": -1.0}, "-1.0: expected a power of at least 0"),
    ],
)
def test_refused_duties(fields, message):
    p = ps.predict("frontnet-80x32", JOB, on="gap8", stack="dory")
    with pytest.raises(InputError) as refusal:
        ps.duty_cycle(p, **fields)
    assert str(refusal.value) == message


def test_networks_have_their_published_sizes():
    sizes = {
        "frontnet-160x32": (14_138_880, [3072000, 2211840, 2211840, 1105920, 2211840, 1105920, 2211840, 7680]),
        "frontnet-160x16": (4_304_640, None), "frontnet-80x32": (4_033_536, None),
        "pulp-dronet-v2": (41_103_104, None), "pulp-dronet-v3-tiny": (1_130_444, None),
    }  # fmt: skip
    for name, (macs, layers) in sizes.items():
        assert ps.model(name).counts().products == macs
        if layers is not None:
            p = ps.predict(name, JOB, on="gap8", stack="dory")
            assert [layer.layer.macs for layer in p.plan if layer.layer.macs] == layers


def test_what_cannot_run_never_looks_better_than_the_smallest_tiles():
    """26 kB of L1 are reserved. Less L1 is never faster, whether the smallest tiles still fit or not."""
    sizes = ("64 kB", "30 kB", "27 kB", "26 kB", "20 kB")
    runs = [
        ps.predict("mobilenetv1-1.0-128", JOB, on="gap8", stack="dory", what_if={"device.memory.l1.capacity": size})
        for size in sizes
    ]
    assert [run.memory.fits for run in runs] == [True, True, True, False, False]
    assert all(less.runtime >= more.runtime and less.energy >= more.energy for more, less in pairwise(runs))
    assert "layers without a tile that fits are priced with their smallest: no device can run this" in runs[-1].remarks
    assert not any(layer.fits for layer in runs[-1].plan)
    cores = ps.predict("mobilenetv1-1.0-128", JOB, on="gap8", stack="dory", what_if={"device.units.cluster_core": 1000})
    assert cores.memory.fits is False
    assert cores.runtime > runs[0].runtime


def test_the_power_at_rest_is_never_that_of_a_running_job():
    p = ps.predict("resnet8-cifar10", JOB, on="stm32l4r5", stack="cmsis-nn")
    for rest in ("sleep", "idle"):
        with pytest.raises(InputError) as refusal:
            ps.duty_cycle(p, frame_rate=10, rest=rest)
        assert str(refusal.value) == (
            f"device stm32l4r5: no source gives its power at rest (power.{rest}); state it, e.g. rest=\"2 mW\""
        )
    stated = ps.duty_cycle(p, frame_rate=1, rest="2 mW")
    assert stated.energy == pytest.approx(p.energy + 2e-3 * (1 - p.runtime))


def test_what_does_not_fit_keeps_up_with_no_rate():
    p = ps.predict("vgg16", JOB, on="gap8", stack="dory")
    assert p.memory.fits is False
    assert not ps.duty_cycle(p, frame_rate=0.5 / p.runtime).keeps_up
