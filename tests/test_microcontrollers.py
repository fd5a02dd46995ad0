"""Cortex-M under their stacks: pooled numbers, MCUNets, boards that no fit has seen, and engines as arrays."""

import math

import pytest

import perfsim as ps
from perfsim.catalog.hardware import stack
from perfsim.errors import InputError
from perfsim.validation.edge import tiny_lines, zoo_lines
from perfsim.validation.pooling import Group, Pool, Sample, groups_of, left_out, parameters_of, pool, sample_of
from perfsim.validation.rows import Row, read_rows
from perfsim.validation.suites import run_suite
from tests.pages import ROOT

JOB = ps.SinglePass(dtype="int8")
ROWS = read_rows(ROOT / "measurements" / "mlperf-tiny.csv")


def row(model, value, device="stm32l4r5", name="x-cube-ai"):
    return Row("", device, 1, name, model, JOB, None, (), "runtime", value, True, "")


# Networks


@pytest.mark.parametrize(
    ("name", "millions", "parameters"),
    [  # mit-han-lab/mcunet README
        ("mcunet-in0", 6.4, 0.75), ("mcunet-in1", 12.8, 0.64), ("mcunet-in2", 67.3, 0.73), ("mcunet-in3", 81.8, 0.74),
        ("mcunet-in4", 125.9, 1.73), ("mcunet-vww0", 6.0, 0.37), ("mcunet-vww1", 11.6, 0.43),
        ("mcunet-vww2", 55.8, 0.64), ("mbv2-w0.35", 23.5, 0.75),
    ],
)  # fmt: skip
def test_mcunets_have_the_published_sizes(name, millions, parameters):
    model = ps.predict(name, JOB, "stm32h743", stack="tinyengine").model
    assert round(model.counts().products / 1e6, 1) == millions
    assert round(model.parameters / 1e6, 2) == parameters


@pytest.mark.parametrize(
    ("name", "weights", "biases", "kib"),
    [
        ("fdmobilenet-0.25-flowers", 123504, 1973, 128.32), ("mobilenetv1-0.25-flowers", 208880, 2741, 214.69),
        ("mobilenetv1-0.5-flowers", 810208, 5477, 812.61), ("mobilenetv2-0.35-flowers", 388448, 7045, 406.86),
        ("squeezenet-1.1-flowers", 722112, 2949, 716.71),
    ],
)  # fmt: skip
def test_weights_are_those_of_the_vendors_build(name, weights, biases, kib):
    assert (weights + 4 * biases) / 1024 == pytest.approx(kib, abs=0.006)  # printed with two digits, int32 biases
    predicted = ps.predict(name, JOB, "stm32h747", stack="x-cube-ai").memory.weights
    assert predicted == weights + biases  # one byte each here


# Numbers that are fitted together


def test_a_row_is_linear_in_the_three_numbers():
    """A core computes or waits: what the model predicts is what the parts of a sample add up to."""
    own, on = stack("x-cube-ai").on(ps.device("stm32l4r5")), ps.device("stm32l4r5")
    sample = sample_of(row("ds-cnn-kws", 0.1))
    efficiency, setup, width = (
        float(own.parameter(n)) for n in ("compute_efficiency", "tile_setup", "bandwidth_efficiency")
    )
    unit = parameters_of((1.0, 1.0, 1.0), on)
    cycles = (unit["compute_efficiency"] / efficiency, setup / efficiency, unit["bandwidth_efficiency"] / width)
    assert unit["compute_efficiency"] == pytest.approx(1)  # one multiply-accumulate per cycle
    assert unit["bandwidth_efficiency"] == pytest.approx(1 / 4)  # of a bus of four bytes per cycle
    runtime = ps.predict("ds-cnn-kws", JOB, on, stack="x-cube-ai").runtime
    assert sample.predicted(cycles) / 120e6 == pytest.approx(runtime)
    assert sample.work[0] == pytest.approx(2656768)  # multiply-accumulates of the network
    assert sample.measured == pytest.approx(0.1 * 120e6)


def test_cycles_and_parameters_say_the_same():
    on = ps.device("cortex-m7")  # two multiply-accumulates and four bytes per cycle
    assert parameters_of((1.25, 50.0, 2.5), on) == pytest.approx(
        {"compute_efficiency": 1 / 2.5, "tile_setup": 40.0, "bandwidth_efficiency": 0.1}
    )


def test_deviations_add_up_and_the_unknown_takes_what_is_known():
    part = (math.log(2), 0.0, math.log(3))
    found = Pool({("all", ""): (0.0, 0.0, 0.0), ("family", "a"): part, ("core", "m"): part, ("pair", "a m"): part})
    assert found.cycles("a", "m") == pytest.approx((8, 1, 27))
    assert found.cycles("a", "other") == pytest.approx((2, 1, 3))
    assert found.cycles("other", "other") == pytest.approx((1, 1, 1))


def test_a_fit_finds_what_made_the_rows():
    """Two stacks on two cores, the second twice as fast in everything: seen again within a tenth."""
    pytest.importorskip("scipy")
    work = [(1e6, 1e4, 1e5), (2e6, 8e4, 1e5), (3e5, 1e3, 3e5), (8e6, 2e4, 5e4)]

    def group(family, core, cycles):
        totals = [sum(a * b for a, b in zip(each, cycles, strict=True)) for each in work]
        samples = [Sample(row(f"n{i}", 1.0), w, 0.0, t) for i, (w, t) in enumerate(zip(work, totals, strict=True))]
        return Group(family, core, tuple(samples))

    fit = pool([group("a", "slow", (2.0, 80.0, 1.2)), group("a", "fast", (1.0, 40.0, 0.6))])
    assert fit.cycles("a", "slow") == pytest.approx((2.0, 80.0, 1.2), rel=0.1)
    assert fit.cycles("a", "fast") == pytest.approx((1.0, 40.0, 0.6), rel=0.1)


def test_what_is_left_out_has_a_name():
    with pytest.raises(InputError) as refusal:
        next(left_out(groups_of([]), "boards"))
    assert str(refusal.value) == '"boards": expected networks or devices'


def test_shipped_numbers_are_those_of_the_fit():
    pytest.importorskip("scipy")
    fit = pool(groups_of(ROWS))
    for family, core, device in (("x-cube-ai", "cortex-m4", "stm32l4r5"), ("tinyengine", "stm32h743", "stm32h743")):
        own = stack(family).on(ps.device(device))
        for name, value in parameters_of(fit.cycles(family, core), ps.device(device)).items():
            assert float(own.parameter(name)) == pytest.approx(value, rel=0.01), (family, name)


# Rows


def test_lines_of_further_engines_and_of_mcunet():
    tiny = {
        "source": "MLPerf Tiny v1.1 (closed)", "submitter": "plumerai", "device": "NUCLEO-U575ZI-Q", "sw": "",
        "benchmark": "vww", "metric": "latency_single_stream", "value": "59.5",
    }  # fmt: skip
    (line,) = tiny_lines([tiny])
    assert (line["stack"], line["fitted"], line["value"]) == ("plumerai", "1", "0.0595")
    zoo = {
        "device": "STM32H743 (Cortex-M7)", "model": "mcunet-vww1", "resolution": "", "metric": "latency", "value": "51",
        "framework": "TinyEngine", "url_or_repo_path": "mit-han-lab/tinyengine:README.md@022fc116e000",
    }  # fmt: skip
    (line,) = zoo_lines([zoo, {**zoo, "metric": "peak_sram"}])
    assert (line["device"], line["stack"], line["fitted"]) == ("stm32h743", "tinyengine", "0")
    assert line["source"] == "mit-han-lab/tinyengine README.md@022fc116e000"


def test_rows_that_no_fit_has_seen():
    """27 rows: an nRF5340, another operating system, MCUNet vww1 and eleven networks of the vendor's zoo."""
    report = run_suite("mlperf-tiny")
    unseen = [pair for pair in report.pairs if not pair.fitted]
    assert report.skipped == ()
    assert report.statistics(unseen)["mdape"] < 10


def test_a_board_that_no_fit_has_seen():
    """Published for STM32H7A3 under X-CUBE-AI of 2022: 19.7 inferences per second; the fit has no such row."""
    runtime = ps.predict("mobilenetv1-0.25-96-vww", JOB, "stm32h7a3", stack="x-cube-ai").runtime
    assert runtime == pytest.approx(1 / 19.7, rel=0.25)


def test_version_8_halves_depthwise_layers():
    old, new = (ps.predict("mobilenetv1-0.25-96-vww", JOB, "stm32l4r5", stack=s).runtime for s in (
        "x-cube-ai", "x-cube-ai-8.1"
    ))  # fmt: skip
    assert 0.5 < new / old < 0.75  # measured 0.53


# Engines


def test_a_window_per_processor_and_cycle():
    """MAX78000: 576 products of one output per cycle at 50 MHz, whole rounds."""
    p = ps.predict("resnet8-cifar10", JOB, "max78000", stack="engine-array")
    layers = {layer.name: layer for layer in p.plan}
    assert layers["c2"].tiling.compute == 64 * 8 * 8  # 64 channels x 3 x 3 = 576 products: one cycle per output
    assert layers["a1"].tiling.compute == 16 * 32 * 32  # 144 products take a cycle, too
    assert p.plan[0].clock == 50e6
    assert p.memory.fits


def test_weights_beyond_the_engine_name_the_tensor():
    p = ps.predict("mcunet-in4", JOB, "max78000", stack="engine-array")
    assert not p.memory.fits
    (misfit,) = p.memory.misfits
    assert "head.weight (the largest of all weights) of layer head does not fit into main memory" in str(misfit)
    assert ps.device("max78000").capacity == 64 * 768 * 9  # kernels of nine byte


@pytest.mark.parametrize(("name", "products"), [("ethos-u55-128", 128), ("ethos-u55-256", 256)])
def test_an_ethos_never_passes_its_array(name, products):
    p = ps.predict("resnet8-cifar10", JOB, name, stack="engine-array")
    clock = ps.device(name).get("clock.maximum")
    assert ps.device(name).get("units.array_rows") * ps.device(name).get("units.array_columns") == products
    assert p.runtime > 12501632 / (products * clock)
    assert ps.device(name).bandwidth == pytest.approx(8 * clock)
