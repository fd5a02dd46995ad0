"""Where a stack runs, what it was measured on, which algorithm its bound takes, and where it keeps weights."""

from __future__ import annotations

from itertools import product

import pytest
from click.testing import CliRunner

import perfsim as ps
from perfsim.catalog import device_names, stack_names
from perfsim.cli.main import cli
from perfsim.devices import Calibration, Stack
from perfsim.errors import CatalogError, InputError
from perfsim.prediction.interval import runtime_interval
from perfsim.prediction.timeline import memory_timeline_of
from perfsim.workloads import Layout
from tests.strategies import make_device

CLOSE = 1 + 1e-9
ON = ("a100-sxm4-80gb", "cortex-a76", "kryo", "raspberry-pi-5", "stm32h743", "stm32f746", "gap8")
NETWORKS = ("vgg16", "resnet18", "mobilenetv2", "resnet8-cifar10")
IMAGE = ps.SinglePass(dtype="int8")


def pairs():
    here = [(ps.stack(name), on) for name, on in product(stack_names(), ON)]
    return [(s.key, on) for s, on in here if s.suits(ps.device(on)) and "inference" in s.jobs]


@pytest.mark.parametrize(("stack", "on"), pairs())
@pytest.mark.parametrize("network", NETWORKS)
def test_the_bound_the_interval_and_the_runtime_are_in_order(stack, on, network):
    for dtype in {"int8", "fp32"} & set(ps.device(on).formats):
        p = ps.predict(network, ps.SinglePass(dtype=dtype), on, stack=stack)
        low, high = p.interval
        assert p.ideal.runtime <= low * CLOSE
        assert low <= p.runtime <= high


def test_winograd_belongs_to_the_bound_too():
    """With t = 6 a dense 3×3 layer takes (6 + 2)² / (9 · 6²) = 0.1975 of the direct products, transforms apart."""
    job = ps.SinglePass(dtype="fp32")
    direct, p = ps.predict("vgg16", job, "cortex-a76"), ps.predict("vgg16", job, "cortex-a76", stack="ncnn")
    assert p.ideal.stack.key == "ideal"
    assert p.ideal.ideal is p.ideal
    saved = {}
    for (before, _), (after, _) in zip(direct.costs[0].kernels, p.ideal.costs[0].kernels, strict=True):
        saved[before.name] = (before.compute - after.compute) * before.peak / before.matrix_flops
    three_channels_or_dense = ("stage0.conv0", "fc1", "fc2", "head")
    for name, share in saved.items():
        assert share == pytest.approx(0 if name in three_channels_or_dense else 1 - 8**2 / (9 * 6**2))
    assert p.ideal.flops == pytest.approx(direct.flops)
    assert any("Winograd" in text for text in p.conventions)
    assert not any("Winograd" in text for text in direct.conventions)


def test_an_interval_holds_the_runtime_even_where_all_measurements_lie_on_one_side():
    stack = Stack("mine", "Mine", {}, calibration=Calibration(1.2, 1.4, 5, "own rows", batch=8))
    interval = runtime_interval(stack, [], ps.SinglePass(batch=16, dtype="fp16"), Layout(), "test-device")
    assert interval.bounds("forward") == (1.0, 1.4**1.5)


def test_a_family_that_was_not_measured_widens_the_interval():
    job = ps.SinglePass(dtype="fp16")
    p = ps.predict("resnet50", job, "a100-sxm4-80gb", stack="vllm")
    remark = "vllm was compared with measurements of language models only, not of a vision model"
    assert remark in p.remarks
    assert remark in p.relative_interval.why
    low, high = p.relative_interval.bounds("forward")
    known = p.stack.calibration
    assert (low, high) == (known.low**1.5, known.high**1.5)
    text = ps.Prefill(prompt_tokens=64, dtype="fp16")
    assert "only" not in ps.predict("llama-2-7b", text, "a100-sxm4-80gb", stack="vllm").relative_interval.why


REFUSED = [
    (
        "tflite-micro", "a100-sxm4-80gb",
        "stack tflite-micro runs on microcontroller (engine cpu), not on a100-sxm4-80gb (datacenter-gpu; of NVIDIA); "
        "use one of fastertransformer, fsdp, ideal, layerwise, megatron, megatron-2022, pytorch-channels-last, "
        "pytorch-compile, pytorch-eager, tensorrt, tensorrt-llm, vllm, xdit",
    ),
    (
        "vllm", "raspberry-pi-5",
        "stack vllm runs on datacenter-gpu, consumer-gpu, edge-gpu, tpu, accelerator, server-cpu, client-cpu, not on "
        "raspberry-pi-5 (sbc; of Broadcom); use one of ideal, layerwise, ncnn, onnxruntime-cpu, "
        "pytorch-channels-last, pytorch-compile, pytorch-eager, xnnpack",
    ),
    (
        "tensorrt", "mi300x",
        "stack tensorrt runs on datacenter-gpu, consumer-gpu, edge-gpu, edge-accelerator (engine gpu or dla; of "
        "NVIDIA), not on mi300x (datacenter-gpu; of AMD); use one of ideal, layerwise, "
        "pytorch-channels-last, pytorch-compile, pytorch-eager, vllm, xdit",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("stack", "on", "message"), REFUSED)
def test_a_stack_is_refused_where_it_does_not_run(stack, on, message):
    result = CliRunner().invoke(cli, ["predict", "gpt2", "--on", on, "--stack", stack])
    assert (result.exit_code, result.stderr) == (2, f"perfsim: {message}\n")
    with pytest.raises(InputError, match="runs on"):
        ps.largest_batch("gpt2", ps.Decode(), on, stack=stack)


@pytest.mark.parametrize(
    ("stack", "on"),
    [
        ("vllm", "stm32f746"), ("tensorrt", "tpu-v4"), ("ncnn", "tpu-v4"), ("ncnn", "snapdragon-855-gpu"),
        ("dory", "esp32-s3"),
    ],
)
def test_other_pairs_that_do_not_exist(stack, on):
    assert not ps.stack(stack).suits(ps.device(on))


def test_bounds_and_stacks_of_users_run_everywhere():
    mine = Stack("mine", "Mine", {})
    for name in device_names():
        device = ps.device(name)
        assert all(stack.suits(device) for stack in (mine, ps.stack("ideal"), ps.stack("layerwise")))
    assert not ps.stack("dory").suits(make_device())  # a device of a user, of another class and without a vendor


def test_devices_of_calibrated_variants_suit_their_stack():
    for stack in map(ps.stack, stack_names()):
        patterns = [p for matches, _, calibration in stack.variants if calibration for p in matches]
        for device in map(ps.device, device_names()):
            if {device.key, device.base_key} & set(patterns) and device.info.get("engine", "cpu") == "cpu":
                assert stack.suits(device), (stack.key, device.key)


def test_an_unknown_class_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "Mine"\nruns_on = ["gpu"]\n')
    with pytest.raises(CatalogError, match='runs_on: "gpu" is not a class of devices, expected datacenter-gpu, '):
        ps.stack(str(path))


def test_weights_in_flash_take_no_sram():
    """ResNet-50 keeps 25.53 MB of int8 in 1 MB of flash, and its features do not fit into 340 kB of SRAM."""
    memory = ps.predict("resnet8-cifar10", IMAGE, "stm32f746", stack="cmsis-nn").memory
    assert memory.fits
    assert memory.stores == (("", memory.activations, 340e3), ("flash", memory.weights, 1e6))
    p = ps.predict("resnet50", IMAGE, "stm32f746", stack="cmsis-nn")
    assert p.remarks[:2] == (
        "does not fit: 2.559 MB needed per device, 340 kB there; the largest tensor is layer1.0.conv3.out, "
        "at layer layer1.0.residual.add",
        "does not fit: 25.53 MB needed in flash per device, 1 MB there; the largest tensor is layer4.0.conv2.weight, "
        "at layer layer4.0.conv2",
    )
    sram, flash = p.memory.misfits
    assert (sram.level, sram.layer, sram.tensor) == ("main memory", "layer1.0.residual.add", "layer1.0.conv3.out")
    assert (sram.needed, sram.there) == (p.memory.activations, 340e3)
    assert (flash.level, flash.tensor, flash.needed) == ("flash", "layer4.0.conv2.weight", p.memory.weights)
    assert p.memory.fits is False
    assert "capacity of flash" in p.table()
    unknown = ps.predict("resnet8-cifar10", IMAGE, "cortex-m7", stack="cmsis-nn")
    assert unknown.memory.fits is None
    assert unknown.remarks[0] == "no source gives the flash of cortex-m7: whether the weights fit is not known"


def test_the_timeline_of_sram_leaves_out_flash():
    p = ps.predict("resnet8-cifar10", IMAGE, "stm32f746", stack="cmsis-nn")
    line = memory_timeline_of(p)
    assert line.reserved == line.peak.total == p.memory.activations


def test_a_device_without_any_rate():
    with pytest.raises(InputError) as refusal:
        ps.predict("resnet50", ps.SinglePass(), "snapdragon-888")
    assert str(refusal.value) == (
        "device snapdragon-888: no source gives a rate for it; it can be listed but not used for predictions. Write a "
        'TOML with base = "snapdragon-888" that states one'
    )
