"""Phones, boards and Cortex-M: listed networks, Winograd, shared cores, rows of public tables, and their fits."""

from dataclasses import replace
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfsim as ps
from perfsim.architectures.vision import ListedNet
from perfsim.costs.matrix import core_sharing, transform_products, winograd_share
from perfsim.devices import cluster
from perfsim.errors import ConfigError, InputError
from perfsim.validation.edge import ALONE, edge_problem, is_fitted_network, ncnn_lines, tiny_lines, zoo_lines
from perfsim.validation.edge_names import NETWORKS
from perfsim.validation.rows import read_rows
from perfsim.validation.suites import run_suite
from tests.pages import ROOT


def runtime(model, on, stack, dtype, **what_if):
    return ps.predict(model, ps.SinglePass(dtype=dtype), on, stack=stack, what_if=what_if).runtime


# Networks given layer by layer


def listed(*layers, **fields):
    return ListedNet(name="net", listed=layers, **{"image_size": 8, "channels": 3, **fields})


def test_a_listed_network_by_hand():
    net = listed(
        "a: conv c4 k3 s2 relu", "b: dw k3", "c: conv c4 bare < a", "s: add relu < b c", "g: global", "h: linear c5"
    )
    # stem 4·4 positions × 4·3·9, depthwise 4·4 × 4·9, pointwise 4·4 × 4·4, head 4·5
    assert net.counts().products == 16 * 108 + 16 * 36 + 16 * 16 + 20
    # two batch norms (scale and shift of 4 channels each), a bias of 4, a head with 5 biases
    assert net.parameters == (108 + 8) + (36 + 8) + (16 + 4) + (20 + 5)


def test_branches_pools_and_upsampling_by_hand():
    net = listed("a: max k2 s2", "b: up f2", "j: join < b image", "p: part c4", "c: conv c2 k3x1 valid bare")
    # 3 + 3 channels of 8 × 8, the last 4 of them, rows lose the window: 6 · 8 positions × 2 outputs × 4 · 3 taps
    assert net.counts().products == 6 * 8 * 2 * 12


@pytest.mark.parametrize(("size", "stride", "rows"), [(49, 2, 25), (10, 2, 5), (300, 2, 150), (75, 2, 38), (7, 1, 7)])
def test_padding_keeps_the_share_of_the_stride(size, stride, rows):
    net = listed(f"a: conv c1 k3 s{stride} bare", image_size=size, channels=1)
    assert net.counts().products == rows * rows * 9  # ceil(size / stride) outputs per side


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            "a: konv c4",
            'net: layer "a: konv c4": expected a text such as "stem: conv c32 k3 s2 relu" or "sum: add < a b", with '
            "one of conv, dw, max, mean, global, linear, add, join, up, part, down, shuffle",
        ),
        ("a: conv c4 < b", 'net: layer "a: conv c4 < b": b is not a layer above; expected one of image'),
    ],
)
def test_layers_that_cannot_be_read(layer, message):
    with pytest.raises(ConfigError) as refusal:
        listed(layer).counts()
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("name", "macs"),
    [  # derived by shape inference on the published graphs (Tencent/ncnn@a4d2ea1d4422), printed to 10^4
        ("googlenet", 1_582_670_000), ("mobilenet-ssd", 1_148_480_000), ("mobilenet-yolo", 2_602_500_000),
        ("mobilenetv2-yolov3", 1_182_490_000), ("yolov4-tiny", 3_453_940_000), ("blazeface", 29_370_000),
        ("proxylessnas-mobile", 336_480_000), ("resnet50-v1", 3_857_970_000), ("squeezenet-1.1-caffe", 418_470_000),
        ("mobilenetv1", 568_740_000), ("efficientnet-b0", 385_810_000), ("regnety-400mf", 401_840_000),
        ("mobilenetv2-caffe", 313_620_000), ("mobilenetv3-large-early", 245_560_000),
        ("alexnet-two-tower", 724_410_000), ("shufflenet-1.0-g3-caffe", 127_060_000),
        ("squeezenet-ssd", 1_175_970_000), ("nanodet-m", 342_220_000),
        ("yolo-fastest-1.1", 125_440_000), ("yolo-fastest-v2", 106_380_000), ("fastestdet", 121_490_000),
        # by hand: 125·(64·40 + 4·64·(9 + 64)) + 64·12, and dense layers 640-128-…-8-…-128-640
        ("ds-cnn-kws", 125 * (64 * 40 + 4 * 64 * 73) + 768),
        ("autoencoder-ad", 2 * 640 * 128 + 6 * 128**2 + 2 * 128 * 8),
    ],
)  # fmt: skip
def test_multiply_accumulates(name, macs):
    assert ps.model(name).counts().products == pytest.approx(macs, abs=5_000)


# Formulas


def test_winograd_by_hand():
    assert winograd_share(tile=1) == 1  # the direct convolution
    assert winograd_share(tile=2) == 16 / 36  # F(2 × 2, 3 × 3): 16 products for 4 outputs of 9
    assert winograd_share(tile=4) == 36 / 144


def test_transforms_by_hand():
    # 28 x 28 positions, 64 channels in, 128 out, each worth 100 products
    assert transform_products(m=784, depth=64, n=128, tile_transform=100) == 784 * 192 * 100


def layer_time(text, **changes):
    """Time of a layer of 64 channels on one core that does nothing but compute."""
    free = {"kernel_launch": 0, "tile_setup": 1e-12, "serial_share": 1e-12, "bandwidth_efficiency": 1}
    stack = ps.stack("ncnn").replace(**(free | changes))
    device = ps.device("cortex-a72").replace(**{"memory.main.bandwidth": 1e15})
    return ps.predict(one_layer(text), ps.SinglePass(dtype="fp32"), device, stack=stack).runtime


def test_transforms_weigh_most_on_narrow_layers():
    def share(out):
        times = [layer_time(f"a: conv c{out} k3 bare", tile_transform=t) for t in (100, 1e-12)]
        return times[0] / times[1]

    rest = 9 * 64 / 324  # products of an input and an output channel that F(6, 3) leaves of nine
    assert share(64) == pytest.approx(1 + 100 * (64 + 64) / (64 * 64 * rest))
    assert share(64) > share(256) > 1


@given(st.floats(1, 10), st.floats(0, 1), st.integers(1, 64))
def test_sharing_grows_with_cores_and_winograd_never_adds(tile, contention, cores):
    assert 0 < winograd_share(tile=tile) <= 1
    assert core_sharing(units=1, contention=contention) == 1
    assert 1 <= core_sharing(units=cores, contention=contention) <= cores


def one_layer(text):
    return replace(listed(text, channels=64, image_size=56), name=text)


def compute_share(text):
    """Time of a layer with Winograd's algorithm over that without, both computing only."""
    free = {"kernel_launch": 0, "tile_setup": 1e-12, "tile_transform": 1e-12, "serial_share": 1e-12}
    stack = ps.stack("ncnn").replace(**free)
    device = ps.device("cortex-a72").replace(**{"memory.main.bandwidth": 1e15})
    times = []
    for tile in (2.0, 1.0):
        chosen = stack.replace(tile_winograd=tile)
        times.append(ps.predict(one_layer(text), ps.SinglePass(dtype="fp32"), device, stack=chosen).runtime)
    return times[0] / times[1]


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("a: conv c64 k3 bare", 16 / 36),
        ("a: conv c64 k3 s2 bare", 1),  # windows that share too little
        ("a: conv c64 k5 bare", 1),
        ("a: conv c8 k3 bare", 1),  # too narrow for the transforms
        ("a: dw k3 bare", 1),
        ("a: conv c64 k3 g4 bare", 1),
    ],
)
def test_only_dense_3x3_layers_with_stride_1_run_by_winograd(text, share):
    assert compute_share(text) == pytest.approx(share, rel=1e-6)


def test_contention_by_hand():
    stack = ps.stack("ncnn").replace(core_contention=0.25)
    at = {n: ps.device("raspberry-pi-4").at(f"{n}-core") for n in (1, 4)}
    one, four = (
        sum(
            cost.compute * count
            for cost, count in ps.predict("vgg16", ps.SinglePass(dtype="fp32"), d, stack=stack).costs[0].kernels
        )
        for d in at.values()
    )
    assert four / one == pytest.approx((1 + 0.25 * 3) / 4)  # a quarter of the work each, and three who wait


# Cores and chips


def test_a_chip_of_cores_takes_their_numbers():
    core = ps.device("cortex-a72")
    chip = cluster(core, cores=2, clock=1.8e9, bandwidth=12.8e9)
    listed_chip = ps.device("rk3399")
    assert chip.get("compute.vector.fp32") == listed_chip.get("compute.vector.fp32") == 8 * 2 * 1.8e9
    job = ps.SinglePass(dtype="fp32")
    mine, theirs = (ps.predict("mobilenetv2", job, d, stack="ncnn").runtime for d in (chip, listed_chip))
    assert mine == pytest.approx(theirs)


def test_a_microcontroller_of_cores():
    chip = cluster(ps.device("cortex-m33"), cores=1, clock=160e6, bandwidth=640e6)
    assert runtime("ds-cnn-kws", chip, "x-cube-ai", "int8") == pytest.approx(
        runtime("ds-cnn-kws", "stm32u575", "x-cube-ai", "int8")
    )


def test_impossible_clusters_are_refused():
    with pytest.raises(InputError) as refusal:
        cluster(ps.device("cortex-a72"), cores=0, clock=1e9, bandwidth=1e9)
    assert str(refusal.value) == "a cluster of cortex-a72: cores is 0, expected a number above 0"


LARGE = (
    "cortex-a57", "cortex-a72", "cortex-a73", "cortex-a76", "kryo", "taishan-v110", "carmel", "ftc663", "firestorm",
    "gs464v",
)  # fmt: skip


@pytest.mark.parametrize(
    ("chip", "members"),
    [
        ("haswell", ("zen", "zen3", "skylake", "golden-cove", "tremont")),
        ("in-order-core", ("cortex-a53", "cortex-a55", "u74")),
        ("jetson-orin-nano-cpu", LARGE),
    ],
)
def test_a_core_that_was_never_measured_takes_the_middle_of_its_family(chip, members):
    stack = ps.stack("ncnn")
    unknown = stack.on(ps.device(chip))
    for name in ("compute_efficiency", "kernel_launch"):
        middle = median(stack.on(ps.device(core)).parameter(name) for core in members)
        assert unknown.parameter(name) == pytest.approx(middle, rel=0.006)  # three digits
    assert unknown.rates(None).tile_winograd == stack.parameter("tile_winograd")


# Rows of the public tables


def entry(device, model="resnet18", threads="4", powersave="0", value="123.12", backend="CPU"):
    return {
        "device": device, "model": model, "threads": threads, "powersave": powersave, "value": value, "backend": backend
    }  # fmt: skip


def test_lines_of_the_ncnn_table():
    table = [
        entry("Raspberry Pi 4 Model B Broadcom BCM2711B0, Cortex-A72 (ARMv8) (1.8GHz x 4)"),
        entry("Station P2, Rockchip RK3568 (Cortex-A55 2.0GHz x 4)", "mobilenet_int8"),
        entry("Rockchip RK3399 (Cortex-A72 1.8GHz x 2 + Cortex-A53 1.5GHz x 4)", powersave="1"),
        entry("Rockchip RK3399 (Cortex-A72 1.8GHz x 2 + Cortex-A53 1.5GHz x 4)", threads="6"),  # over both kinds
        entry("Microsoft Azure Standard D64s v6 Instance", threads="64"),  # two per core
        entry("Microsoft Azure Standard D64s v6 Instance", threads="48"),  # no such point
        entry("Acorn Archimedes"),  # no device
        entry("Raspberry Pi 4 Model B", "lenet"),  # no model
        entry("Raspberry Pi 4 Model B", backend="GPU (Vulkan)"),
    ]
    lines = list(ncnn_lines(table, every=True))
    found = [(n["device"], n["model"], n["dtype"], n["operating_point"], n["value"]) for n in lines]
    assert found == [
        ("raspberry-pi-4", "resnet18", "fp32", "4-core", "0.12312"),
        ("rk3568", "mobilenetv1", "int8", "4-core", "0.12312"),
        ("rk3399-little", "resnet18", "fp32", "4-core", "0.12312"),
        ("rk3399-all", "resnet18", "fp32", "6-core", "0.12312"),
        ("azure-d64s-v6", "resnet18", "fp32", "64-thread", "0.12312"),
    ]


def test_lines_of_mlperf_tiny_and_the_zoo():
    table = [
        {
            "source": "MLPerf Tiny v1.0 (closed)", "submitter": "STMicroelectronics", "device": "NUCLEO-U575ZI-Q",
            "sw": "", "benchmark": "kws", "metric": "energy_per_inference", "value": "1138.534",
        },
        {
            "source": "MLPerf Tiny v1.1 (closed)", "submitter": "someone", "device": "NUCLEO-U575ZI-Q", "sw": "",
            "benchmark": "kws", "metric": "latency_single_stream", "value": "30",
        },
    ]  # fmt: skip
    (line,) = tiny_lines(table)  # no stack is the other one
    assert (line["device"], line["stack"], line["metric"], line["value"]) == (
        "stm32u575",
        "x-cube-ai",
        "energy",
        "0.00113853",
    )
    zoo = {
        "device": "STM32H747I-DISCO (400 MHz, 1 CPU)", "model": "MobileNetV2-0.35 ImageNet", "resolution": "128x128x3",
        "metric": "latency", "value": "116.13", "framework": "STM32Cube.AI 10.0.0",
        "url_or_repo_path": "vendor/zoo:README",
    }  # fmt: skip
    (line,) = zoo_lines([zoo, {**zoo, "metric": "activation_ram"}])
    assert (line["model"], line["image_size"], line["value"]) == ("mobilenetv2-0.35", "128", "0.11613")


def test_left_out_networks_are_left_out_on_every_chip():
    rows = read_rows(ROOT / "measurements" / "ncnn.csv")
    fitted = {NETWORKS[name] for name in NETWORKS if is_fitted_network(name)} | {NETWORKS[ALONE]}
    assert {row.model for row in rows if row.fitted} == fitted
    assert len({row.model for row in rows} - fitted) == 8
    assert not any(row.fitted for row in rows if row.device.endswith("-all"))


# How good it is


def median_errors(report):
    assert report.skipped == ()
    by_device = {device: [p for p in report.pairs if p.device == device] for device in {p.device for p in report.pairs}}
    return {device: report.statistics(pairs)["mdape"] for device, pairs in by_device.items()}


def test_median_error_by_chip_and_of_networks_that_no_fit_has_seen():
    report = run_suite("ncnn")
    errors = median_errors(report)
    both_kinds = {device: errors.pop(device) for device in list(errors) if device.endswith("-all")}
    assert 25 < errors.pop("kunpeng-920-8core") < 28  # 18 in the whole table: see docs/edge.md
    assert len(errors) == 27
    assert max(errors.values()) <= 25
    assert report.statistics([pair for pair in report.pairs if not pair.fitted])["mdape"] <= 18
    assert set(both_kinds) == {"rk3399-all", "snapdragon-660-all", "snapdragon-810-all"}  # see test_clusters


def test_median_error_by_microcontroller():
    errors = median_errors(run_suite("mlperf-tiny"))
    assert set(errors) == {"stm32l4r5", "stm32u575", "stm32h743", "stm32h747", "nrf5340"}
    assert max(errors.values()) <= 25


@pytest.mark.parametrize(
    ("stack", "on", "parameters"),
    [
        ("ncnn", "cortex-a72", 4),
        ("ncnn", "gs464v", 3),  # all of its rows have four cores: contention stays that of the stack
        ("ncnn", "ftc663", 4),
        ("ncnn", "all", 4),
        ("x-cube-ai", "cortex-m4", 3),
    ],
)
def test_what_a_refit_looks_at(stack, on, parameters):
    assert len(edge_problem(stack, on).parameters) == parameters


def test_a_core_without_rows_cannot_be_fitted():
    with pytest.raises(InputError) as refusal:
        edge_problem("cmsis-nn", "cortex-a72")
    assert str(refusal.value) == "cmsis-nn has no rows to fit for cortex-a72; expected one of cortex-m4, stm32h743"


def test_reference_kernels_gain_nothing_from_a_wide_peak():
    """ESP32-S3 multiplies 16 numbers per cycle on each of two cores; kernels without its instructions do not."""
    chip, job = ps.device("esp32-s3"), ps.SinglePass(dtype="int8")
    p = ps.predict("mobilenetv1-0.25-96-vww", job, chip, stack="tflite-micro")
    peak = chip.get("compute.vector.int8")
    assert p.stack.get("compute_efficiency") * peak == pytest.approx(0.0281 * 2 * 240e6)
    wide = {"device.compute.vector.int8": 4 * peak}
    again = ps.predict("mobilenetv1-0.25-96-vww", job, chip, stack="tflite-micro", what_if=wide)
    layers = ((cost.compute, other.compute) for (cost, _), (other, _) in _pairs(p, again) if cost.matrix)
    assert all(compute == pytest.approx(other, rel=1e-3) for compute, other in layers)  # but for the activations
    assert 2.3 / 2.1 < p.runtime < 2.3  # espressif/esp-tflite-micro README: 2300 ms without ESP-NN


def _pairs(one, other):
    return zip(one.costs[0].kernels, other.costs[0].kernels, strict=True)


@pytest.mark.parametrize("stack", ["tflite-micro", "cmsis-nn", "x-cube-ai", "tinyengine"])
def test_kernels_of_a_core_do_not_run_on_an_engine(stack):
    with pytest.raises(InputError, match=f"stack {stack} runs on microcontroller .engine cpu"):
        ps.predict("resnet8-cifar10", ps.SinglePass(dtype="int8"), "ethos-u55-128", stack=stack)
