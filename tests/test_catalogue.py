"""The shipped catalogue: everything loads, every number has a source, parameter counts are the published ones."""

import pytest

import perfsim as ps
from perfsim.architectures import VisionModel
from perfsim.catalog import device_names, model_entry, model_names, stack_names
from perfsim.catalog.hardware import CLASSES
from perfsim.catalog.schema import STATUSES, stack_dimensions
from perfsim.devices import PARAMETERS
from perfsim.errors import CatalogError, InputError, UnitError, UnknownNameError
from perfsim.graph import Unit
from perfsim.quantities.dtypes import DTYPES
from perfsim.workloads import Inference

DEVICES = """
v100-sxm2-16gb v100-sxm2-32gb t4 a100-sxm4-40gb a100-sxm4-80gb a10g l4 l40s h100-sxm5-80gb h100-pcie-80gb
h200-sxm-141gb gh200 b200 rtx-2080-ti rtx-3090 rtx-4090 rtx-5090 mi250x-gcd mi300x gaudi2 tpu-v3 tpu-v4 tpu-v5e
tpu-v5p tpu-v6e xeon-8380 epyc-9654 graviton3 apple-m2-pro raspberry-pi-4 raspberry-pi-5 jetson-nano
jetson-orin-nano jetson-agx-orin snapdragon-855 gap8 gap9 stm32f746 stm32h743 stm32l4r5 max78000
""".split()  # noqa: SIM905
MODELS = """
gpt2 gpt-j-6b gpt-neox-20b opt-66b opt-175b bloom-176b gpt3-ada gpt3-175b j1-large j1-grande j1-jumbo yalm-100b
mt-nlg-530b anthropic-52b llama-2-7b llama-2-13b llama-2-70b llama-3.1-8b llama-3.1-70b llama-3.1-405b mistral-7b
mixtral-8x7b deepseek-v3 qwen2.5-7b falcon-40b phi-3-mini megatron-openai-davinci megatron-gptj-6b
""".split()  # noqa: SIM905

UNPUBLISHED = {"convfirst", "minicpm-1.2b", "minicpm-2.4b", *(f"megatron-gpt-1024x{n}" for n in (12, 16, 20, 24))}
"""A model that stands for a kind of block, and models whose paper prints no total: they claim no published size."""


def test_promised_devices_exist():
    assert set(DEVICES) - set(device_names()) == set()


def test_promised_language_models_exist():
    assert set(MODELS) - set(model_names()) == set()


@pytest.mark.parametrize("name", device_names())
def test_device(name):
    device = ps.device(name)
    assert device.info["class"] in CLASSES
    assert device.name
    for path, datum in device.data.items():
        assert device.sources.get(datum.source), f"{path}: source {datum.source} has no title"
        assert datum.status in STATUSES
        assert datum.value >= 0
    for unit in ("tensor", "vector", "tensor_sparse"):
        assert {f for f in device.peaks(unit) if f.removesuffix("_acc16").removesuffix("_acc32") not in DTYPES} == set()
    if "power.idle" in device.data and "power.maximum" in device.data:
        assert device.get("power.idle") < device.get("power.maximum")


@pytest.mark.parametrize("name", device_names())
def test_measured_rates_stay_below_their_peak(name):
    device = ps.device(name)
    for path, datum in device.paths("measured"):
        peak = device.get(path)
        if peak is not None and path.startswith(("compute.", "memory.")) and path.endswith(("bandwidth", *DTYPES)):
            assert datum.value <= peak * 1.02, f"measured {path}: {datum} above {device.data[path]}"  # 2 % for clocks


@pytest.mark.parametrize("name", device_names())
def test_ridge_points_are_plausible(name):
    device = ps.device(name)
    if f"memory.{device.main_memory}.bandwidth" not in device.data or not device.formats:
        return
    ridges = [device.peak(Unit.TENSOR, DTYPES[f]) / device.bandwidth for f in device.formats]
    assert all(0.05 <= ridge <= 20_000 for ridge in ridges), ridges  # FLOP/byte: from a CPU core to a dense chip


@pytest.mark.parametrize("name", stack_names())
def test_stack(name):
    stack = ps.stack(name)
    for data in (stack.data, *(variant for _, variant, _ in stack.variants)):
        for path, datum in data.items():
            assert path.split(".")[-1] in PARAMETERS or stack_dimensions(path)
            assert stack.sources.get(datum.source), f"{path}: source {datum.source} has no title"
    for patterns, _, calibration in stack.variants:
        assert patterns
        assert calibration is None or 0 < calibration.low <= 1 <= calibration.high


@pytest.mark.parametrize("name", model_names())
def test_model(name):
    entry = model_entry(name)
    assert entry.source in entry.sources
    if name in UNPUBLISHED:
        assert entry.published is entry.active is entry.macs is None
        return
    value, source = entry.published
    assert source in entry.sources
    if isinstance(entry.model, VisionModel):
        # or all digits that are printed: the table of timm prints hundredths of a million, others tenths or millions
        assert entry.model.parameters == pytest.approx(value, rel=0.005, abs=max(5_000, entry.steps[0] / 2))
    elif value % 1_000_000 and entry.steps[0] == 1:  # printed to the last digit
        # yalm-100b counts the released checkpoint, which holds tables that its description does not show
        assert entry.model.parameters == pytest.approx(value, rel=2e-4 if name == "yalm-100b" else 0)
    else:  # or all digits that are printed
        assert entry.model.parameters == pytest.approx(value, rel=0.005, abs=entry.steps[0] // 2)
    if entry.active is not None:
        # the digits that are printed; most leave out the table of input embeddings, two of eleven count it
        counted = name in ("mixtral-8x7b", "qwen3-30b-a3b")
        table = entry.model.padded_vocabulary * entry.model.hidden if counted else 0
        digit = 1e8 if entry.active[0] % 10**9 else 1e9
        assert abs(entry.model.active_parameters + table - entry.active[0]) < digit


def test_reading_twice_gives_the_same_object():
    assert ps.device("a100-sxm4-80gb") is ps.device("a100-sxm4-80gb")
    assert ps.device(ps.device("t4")) is ps.device("t4")
    assert ps.model("gpt2") is ps.model("gpt2")


JOB = Inference(prompt_tokens=64, output_tokens=4, dtype="fp16")


def test_what_ifs_do_not_touch_the_catalogue():
    before = dict(ps.device("a100-sxm4-80gb").data)
    base = ps.predict("gpt2", JOB, on="a100-sxm4-80gb").runtime
    fast = ps.predict("gpt2", JOB, on="a100-sxm4-80gb", what_if={"device.memory.main.bandwidth": "20 TB/s"})
    assert fast.runtime < base
    assert fast.system.device.data["memory.hbm.bandwidth"].status == "what-if"
    assert dict(ps.device("a100-sxm4-80gb").data) == before
    assert ps.predict("gpt2", JOB, on="a100-sxm4-80gb").runtime == base


def test_two_what_ifs_do_not_see_each_other():
    device = ps.device("a100-sxm4-80gb")
    first = device.replace(**{"memory.hbm.bandwidth": "x2"})
    second = device.replace(**{"compute.tensor.bf16": "x2"})
    assert first.bandwidth == 2 * device.bandwidth == 2 * second.bandwidth
    assert second.peak(Unit.TENSOR, DTYPES["bf16"]) == 2 * first.peak(Unit.TENSOR, DTYPES["bf16"])
    assert device.bandwidth == 2.039e12


def test_aliases_and_short_paths():
    kwargs = {"on": "a100-sxm4-80gb", "count": 2}
    by_alias = ps.predict("gpt2", JOB, what_if={"device.memory.main.bandwidth": "1 TB/s"}, **kwargs)
    by_name = ps.predict("gpt2", JOB, what_if={"device.memory.hbm.bandwidth": 1e12}, **kwargs)
    assert by_alias.runtime == by_name.runtime
    by_link = ps.predict("gpt2", JOB, what_if={"link.nvlink.bandwidth": "100 GB/s"}, **kwargs)
    by_device = ps.predict("gpt2", JOB, what_if={"device.link.nvlink.bandwidth": "100 GB/s"}, **kwargs)
    assert by_link.runtime == by_device.runtime > ps.predict("gpt2", JOB, **kwargs).runtime


@pytest.mark.parametrize(
    ("path", "value", "kind", "message"),
    [
        (
            "device.memory.main.bandwidth",
            "3 TB",
            UnitError,
            'device.memory.main.bandwidth: "3 TB" is [byte], expected [byte/s]',
        ),
        (
            "device.memory.main.bandwidth",
            "0 TB/s",
            InputError,
            "device.memory.main.bandwidth: '0 TB/s' is zero, expected a value above 0",
        ),
        (
            "device.memory.main.bandwidth",
            -1.0,
            InputError,
            "device.memory.main.bandwidth: -1.0 is negative, expected a value of at least 0",
        ),
        (
            "device.memory.main.bandwidth",
            True,
            UnitError,
            'device.memory.main.bandwidth: True is bool, expected a text such as "2.039 TB/s" or "x2"',
        ),
        (
            "device.memory.main.bandwith",
            "3 TB/s",
            UnknownNameError,
            'unknown quantity of device a100-sxm4-80gb "memory.main.bandwith"; did you mean memory.hbm.bandwidth, '
            "memory.l2.bandwidth or memory.l1.bandwidth?",
        ),
    ],
)
def test_bad_what_ifs(path, value, kind, message):
    with pytest.raises(kind) as refusal:
        ps.predict("gpt2", JOB, on="a100-sxm4-80gb", what_if={path: value})
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ps.device("h100"),
            'unknown device "h100"; did you mean h100-pcie-80gb, h100-sxm5-80gb or gh200? '
            "List them with: perfsim devices",
        ),
        (
            lambda: ps.model("llama-9"),
            'unknown model "llama-9"; did you mean llama-7b, llama-65b or llama-13b? List them with: perfsim models',
        ),
        (
            lambda: ps.device("v1000-sxm2-16gb"),
            'unknown device "v1000-sxm2-16gb"; did you mean v100-sxm2-16gb, v100-sxm2-32gb '
            "or h200-sxm-141gb? List them with: perfsim devices",
        ),
    ],
)
def test_unknown_names(call, message):
    with pytest.raises(UnknownNameError) as refusal:
        call()
    assert str(refusal.value) == message


def test_missing_files():
    for find, kind in ((ps.device, "device"), (ps.stack, "stack"), (ps.model, "model")):
        with pytest.raises(CatalogError) as refusal:
            find("no/such.toml")
        assert str(refusal.value) == f"no/such.toml: no such file; expected a {kind} file or a catalogue name"


def test_devices_without_a_needed_number_say_so():
    with pytest.raises(InputError) as refusal:
        ps.predict("gpt2", ps.Inference(dtype="int8"), on="coral-edge-tpu")
    assert str(refusal.value) == (
        "device coral-edge-tpu: no source gives its memory.sram.bandwidth; it can be listed but not used for "
        'predictions. Write a TOML with base = "coral-edge-tpu" that states it'
    )


@pytest.mark.parametrize("name", stack_names())
def test_a_stack_has_at_most_eight_fitted_numbers_per_device_class(name):
    """Few numbers with a physical meaning each: what a variant fits replaces the default of the same name."""
    stack = ps.stack(name)
    for _, data, _ in stack.variants or [((), {}, None)]:
        fitted = [path for path, datum in {**stack.data, **data}.items() if datum.status == "fitted"]
        assert len(fitted) <= 8, fitted
