"""Sweeps: equal to a loop of predictions, whatever the model, the device, the stack and the numbers."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import perfsim as ps
from perfsim.errors import InputError, UnitError, UnknownNameError
from perfsim.prediction.rows import job_bound
from perfsim.quantities.numbers import ceil_div, maximum, minimum, over_steps
from perfsim.quantities.recorder import NeedsNumberError, Tape, UndecidedError
from perfsim.quantities.units import DIMENSIONS, parse_as
from perfsim.sweeps import METRICS, grid, latin_hypercube, plan_sweep, points, sobol, uniform, zipped
from perfsim.sweeps.axes import read_values
from perfsim.sweeps.program import Box, Program
from perfsim.sweeps.steps import without_steps
from perfsim.workloads import Decode, Inference, Prefill
from tests.strategies import devices, models, stacks, techniques

COUNTS = ("flops", "traffic", "memory_total", "memory_weights", "memory_kv_cache", "memory_activations", "bound")


def assert_point(dataset, place, prediction):
    """Whole numbers below 2^53 are equal, all others to 1e-12."""
    for name in dataset.data_vars:
        if name == "refused":
            continue
        expected, found = METRICS[name].of(prediction), dataset[name].sel(place).item()
        if expected is None:
            assert math.isnan(found), name
        elif name in COUNTS and expected < 2**53:
            assert found == expected, (name, place)
        else:
            assert found == pytest.approx(expected, rel=1e-12, abs=0), (name, place)


@st.composite
def batches(draw):
    return sorted(draw(st.lists(st.integers(1, 300), min_size=1, max_size=3, unique=True)))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    models(), devices(), stacks(), techniques(), st.sampled_from([1, 2, 4]), st.data(),
    st.sampled_from(["inference", "prefill", "decode"]),
)  # fmt: skip
def test_a_sweep_equals_a_loop_of_predictions(model, device, stack, using, count, data, kind):
    prompts = data.draw(st.lists(st.integers(1, 3000), min_size=1, max_size=2, unique=True))
    outputs = data.draw(st.lists(st.integers(0, 70), min_size=1, max_size=2, unique=True))
    columns = {"batch": data.draw(batches())}
    columns |= {"context_length": prompts} if kind == "decode" else {"prompt_tokens": prompts}
    columns |= {"output_tokens": outputs} if kind == "inference" else {}
    job = {"inference": Inference, "prefill": Prefill, "decode": Decode}[kind](dtype="fp16")
    bandwidth = device.bandwidth
    vary = {"device.memory.hbm.bandwidth": [bandwidth, 3.5 * bandwidth], "stack.kernel_launch": [0.0, 1e-5]}
    asked = {"stack": stack, "using": using, "count": count}
    try:
        ps.predict(model, job.replace(**{name: max(values) for name, values in columns.items()}), device, **asked)
    except ps.PerfsimError:
        assume(False)
    dataset = ps.sweep(model, job, device, vary=vary, **asked, **columns)
    names = [*columns, *vary]
    for place in (dict.fromkeys(names, 0), {n: len({**columns, **vary}[n]) - 1 for n in names}):
        values = {n: {**columns, **vary}[n][i] for n, i in place.items()}
        what_if = {n: values[n] for n in vary}
        one = ps.predict(
            model, job.replace(**{n: values[n] for n in columns}), device, what_if=what_if, **asked
        )  # fmt: skip
        assert_point(dataset, values, one)


@pytest.mark.parametrize(
    ("stack", "model", "device", "count"),
    [
        ("ideal", "llama-3.1-8b", "h100-sxm5-80gb", 1),
        ("vllm", "llama-3.1-70b", "h100-sxm5-80gb", 8),  # pages of 16 positions, cache shares, two all-reduces
        ("megatron-2022", "gpt2", "a100-sxm4-80gb", 1),  # fused softmax for multiples of 4, tiles: position by position
        ("vllm", "gpt2", "a100-sxm4-80gb", 1),  # small enough for the cache: shares of it change along the decode
    ],
)
def test_whole_requests_are_exact(stack, model, device, count):
    job = Inference(dtype="bf16")
    columns = {"batch": [1, 7, 64], "prompt_tokens": [100, 700], "output_tokens": [1, 2, 90]}
    vary = {"device.memory.main.bandwidth": [1e12, 3e12]}
    found = ps.sweep(model, job, device, stack=stack, count=count, vary=vary, **columns)
    for batch in columns["batch"]:
        for prompt in columns["prompt_tokens"]:
            for output in columns["output_tokens"]:
                numbers = {"batch": batch, "prompt_tokens": prompt, "output_tokens": output}
                what_if = {"device.memory.main.bandwidth": 3e12}
                one = ps.predict(model, job.replace(**numbers), device, stack=stack, count=count, what_if=what_if)
                assert_point(found, {**numbers, **what_if}, one)


def test_nothing_was_predicted_point_by_point():
    plan = plan_sweep(
        "llama-3.1-8b", Inference(dtype="bf16"), "h100-sxm5-80gb", stack="vllm", batch=[1, 2], output_tokens=[2, 40]
    )
    plan.evaluate()
    assert [variant.point_by_point for variant in plan.variants] == [0]


def summed(form, start, steps):
    """Sum over the positions from ``start``, by the closed form."""
    tape = Tape()
    a, n = tape.leaf("a", 1, 10**6, True), tape.leaf("n", 1, 10**5, True)
    x = tape.position(a, n)
    lowered = without_steps({"it": over_steps(form(x), n)})
    box = Box((1,), {"a": (-1, [start]), "n": (-1, [steps])})
    result = Program({"it": lowered.outputs["it"], "valid": lowered.valid}).evaluate(box)
    return result["it"].item(), bool(result["valid"].all()), lowered.looped


@given(
    st.integers(1, 10**4), st.integers(1, 3000), st.floats(-10, 10), st.floats(0, 1e4), st.floats(0, 1e4),
    st.sampled_from([4, 16]), st.floats(0, 3),
)  # fmt: skip
def test_sums_over_positions_in_closed_form(start, steps, slope, level, other, page, share):
    forms = [
        lambda x: 3 * x + level,
        lambda x: x * x,
        lambda x: maximum(slope * x + level, other),
        lambda x: maximum(minimum(x, other), 7) + 2 * x,
        lambda x: ceil_div(x, page) * 5 + x,
        lambda x: maximum(2 * x + share * ceil_div(x, page), level),
        lambda x: maximum(maximum(0.5 * x, level), slope * x + other),
    ]
    xs = [float(start + i) for i in range(steps)]
    for form in forms:
        expected = math.fsum(form(x) for x in xs)
        found, valid, looped = summed(form, start, steps)
        assert valid
        assert not looped
        magnitude = math.fsum(abs(form(x)) for x in xs)
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-12 * magnitude)


def test_a_sum_without_closed_form_is_a_loop():
    found, valid, looped = summed(lambda x: 1 / x, 1, 4)
    assert (valid, looped) == (True, True)
    assert found == pytest.approx(1 + 1 / 2 + 1 / 3 + 1 / 4)


def test_equal_expressions_are_one_and_constants_fold():
    tape = Tape()
    x = tape.leaf("x", 1, 9, True)
    assert (x * 2) * 3 is x * 6
    assert x + 1 is 1 + x
    assert x - x == 0
    assert x * 0 == 0
    assert (x > 0) is True  # from the range
    assert (x > 9) is False


def test_decisions_need_an_answer():
    tape = Tape()
    x = tape.leaf("x", 1, 9, True)
    with pytest.raises(UndecidedError) as caught:
        bool(x > 4)
    assert bool(Tape({caught.value.condition.digest: True}).leaf("x", 1, 9, True) > 4) is True
    with pytest.raises(NeedsNumberError, match="a number is needed, which depends on x"):
        range(x)


def test_coordinates_units_and_order():
    found = ps.sweep(
        ["gpt2", "mistral-7b"], Prefill(dtype="fp16"), ["a100-sxm4-80gb", "l4"], batch=[1, 4],
        vary={"device.memory.main.bandwidth": ["1 TB/s", "2 TB/s"]}, using=[[], ["weight-quantization:bits=4"]],
        stack="vllm",
    )  # fmt: skip
    assert found.runtime.dims == ("model", "device", "using", "batch", "device.memory.main.bandwidth")
    assert list(found.using.values) == ["none", "weight-quantization:bits=4"]
    assert found.runtime.attrs["units"] == "s"
    assert found.memory_total.attrs["units"] == "byte"
    assert found["device.memory.main.bandwidth"].attrs["units"] == "byte/s"
    assert list(found["device.memory.main.bandwidth"].values) == [1e12, 2e12]
    assert found.bound.attrs["flag_meanings"] == "refused compute memory network overhead"
    one = ps.predict(
        "mistral-7b", Prefill(batch=4, dtype="fp16"), "l4", stack="vllm", using=["weight-quantization:bits=4"],
        what_if={"device.memory.main.bandwidth": "2 TB/s"},
    )  # fmt: skip
    place = {"model": "mistral-7b", "device": "l4", "batch": 4, "device.memory.main.bandwidth": 2e12}
    assert_point(found.isel(using=1), place, one)
    assert found.fits.dtype == bool
    assert found.to_dataframe().shape[0] == 2 * 2 * 2 * 2 * 2


def test_what_does_not_fit_stays_in_and_what_is_refused_is_nan():
    found = ps.sweep("gpt2", Decode(dtype="bf16"), "a100-sxm4-80gb", count=[1, 5], batch=[1, 10**7])
    assert found.refused.values.tolist() == [[False, False], [True, True]]  # 12 heads on 5 devices
    assert found.fits.values.tolist() == [[True, False], [False, False]]
    assert np.isnan(found.runtime.values[1]).all()
    assert found.runtime.values[0, 1] > 0
    assert found.bound.values[1].tolist() == [-1, -1]
    assert "12 attention heads cannot be split over tensor=5" in found.attrs["refused"][0]


def test_zipped_axes_points_and_samples():
    job, on = Decode(dtype="bf16"), "h100-sxm5-80gb"
    rows = [{"batch": 1, "context_length": 10}, {"batch": 8, "context_length": 2000}]
    found = ps.sweep("gpt2", job, on, along=points(rows))
    same = ps.sweep("gpt2", job, on, along=zipped({"batch": [1, 8], "context_length": [10, 2000]}))
    assert found.identical(same)
    assert found.runtime.dims == ("point",)
    for i, row in enumerate(rows):
        assert found.runtime.values[i] == pytest.approx(ps.predict("gpt2", job.replace(**row), on).runtime, rel=1e-12)
    ranges = {"batch": (1, 64, "log"), "device.memory.hbm.bandwidth": ("1 TB/s", "4 TB/s")}
    for sample in (sobol, latin_hypercube, uniform):
        drawn = ps.sweep("gpt2", job, on, along=sample(16, ranges))
        assert drawn.runtime.dims == ("sample",)
        assert drawn.batch.values.min() >= 1
        assert drawn.batch.values.max() <= 64
        assert drawn["device.memory.hbm.bandwidth"].values.min() >= 1e12
    assert ps.sweep("gpt2", job, on, along=grid({"batch": [2]})).runtime.shape == (1,)


def test_structural_columns_may_be_zipped():
    along = zipped({"device": ["l4", "a100-sxm4-80gb"], "batch": [2, 3]}, name="machine")
    plan = plan_sweep("gpt2", Prefill(dtype="fp16"), "l4", along=along)
    found = plan.dataset()
    for i, (device, batch) in enumerate((("l4", 2), ("a100-sxm4-80gb", 3))):
        one = ps.predict("gpt2", Prefill(batch=batch, dtype="fp16"), device)
        assert found.runtime.values[i] == pytest.approx(one.runtime, rel=1e-12)


def test_parameters_of_techniques_and_operating_points_are_axes():
    found = ps.sweep(
        "gpt2", Decode(dtype="fp16"), "a100-sxm4-80gb", using=["weight-quantization"],
        vary={"using.weight-quantization.group": [32, 128]},
    )  # fmt: skip
    for group in (32, 128):
        one = ps.predict("gpt2", Decode(dtype="fp16"), "a100-sxm4-80gb", using=[f"weight-quantization:group={group}"])
        assert found.memory_weights.sel({"using.weight-quantization.group": group}).item() == one.memory.weights


def test_vision_models_and_image_sizes():
    job = ps.SinglePass(dtype="fp16")
    found = ps.sweep("resnet50", job, "rtx-3090", batch=[1, 16], image_size=[160, 224])
    one = ps.predict("resnet50", job.replace(batch=16, image_size=160), "rtx-3090")
    assert_point(found, {"batch": 16, "image_size": 160}, one)


def test_compiled_programs_say_the_same():
    pytest.importorskip("numba")
    asked = {"batch": [1, 3, 9, 27], "prompt_tokens": list(range(100, 4100, 500)), "output_tokens": [9]}
    vary = {"device.memory.hbm.bandwidth": list(np.linspace(1e12, 4e12, 9)), "device.memory.hbm.capacity": [8e10, 2e11]}
    plain = ps.sweep("llama-3.1-8b", Inference(dtype="bf16"), "h100-sxm5-80gb", vary=vary, **asked)
    compiled = ps.sweep("llama-3.1-8b", Inference(dtype="bf16"), "h100-sxm5-80gb", vary=vary, compiled=True, **asked)
    for name in plain.data_vars:
        np.testing.assert_allclose(compiled[name], plain[name], rtol=1e-12)


def test_parts_join_to_the_whole():
    from perfsim.sweeps import parts_of

    plan = plan_sweep("gpt2", Decode(dtype="bf16"), "l4", batch=range(1, 8), context_length=range(1, 12))
    whole = np.broadcast_to(plan.evaluate()["runtime"], plan.sizes)
    joined = np.full(plan.sizes, np.nan)
    for part in parts_of(plan, rows=4):
        joined[part] = plan.evaluate(part)["runtime"]
    assert (joined == whole).all()


def test_a_sweep_travels_to_another_process():
    plan = plan_sweep("gpt2", Decode(dtype="bf16"), ps.device("l4"), batch=[1, 2], using=["weight-quantization"])
    expected = plan.evaluate()["runtime"]
    assert (pickle.loads(pickle.dumps(plan)).evaluate()["runtime"] == expected).all()


def test_values_of_the_command_line():
    assert read_values("batch", "1:256:x4") == [1, 4, 16, 64, 256]
    assert read_values("batch", "1:10:4") == [1, 5, 9]
    assert read_values("stack", "ideal,vllm") == ["ideal", "vllm"]
    assert read_values("share", "0.1:0.3:0.1") == pytest.approx([0.1, 0.2, 0.3])
    assert read_values("bandwidth", "1 TB/s:3 TB/s:1 TB/s") == pytest.approx([1e12, 2e12, 3e12])
    assert read_values("bandwidth", "1 TB/s:4 TB/s:x2") == pytest.approx([1e12, 2e12, 4e12])


def test_values_of_a_path_stay_texts_with_their_unit():
    """So that a bare number is refused as ``--set`` refuses it, and a wrong unit, too."""
    name = "device.memory.hbm.bandwidth"
    assert read_values(name, "1,2 TB/s,x2") == ["1", "2 TB/s", "x2"]
    assert read_values(name, "1:3:1") == ["1", "2", "3"]
    rates = [parse_as(text, DIMENSIONS["bandwidth"]) for text in read_values(name, "1 TB/s:4 TB/s:x2")]
    assert rates == [1e12, 2e12, 4e12]


def test_a_range_ends_at_its_last_value_not_above_the_end():
    values = read_values("prompt_tokens", "1:8192:256")
    assert (values[0], values[-1], len(values)) == (1, 7937, 32)  # 1 + 31·256
    assert read_values("batch", "1:100:x2")[-1] == 64


ENDLESS = ["1:nan:1", "nan:4:1", "1:8:nan", "1:nan:x2", "1:inf:x2", "-inf:1:1", "4:1:1", "0:8:x2"]


@pytest.mark.parametrize("text", ENDLESS)
def test_ranges_without_an_end_are_refused(text):
    with pytest.raises(InputError) as refusal:
        read_values("batch", text)
    assert str(refusal.value) == (
        f'--vary batch="{text}": expected finite numbers, low <= high, and a step above 0, or a factor above 1 '
        f"from a low above 0"
    )


@pytest.mark.parametrize(("text", "wider"), [("1:8:1e-9", "a larger step"), ("1:1000:x1.0000001", "a larger factor")])
def test_too_many_values_are_refused(text, wider):
    with pytest.raises(InputError) as refusal:
        read_values("share", text)
    assert str(refusal.value) == f'--vary share="{text}": more than 10,000,000 values on one axis; take {wider}'


@pytest.mark.parametrize("text", ["1:2", "5:1:1", "1:5:0", "1:8:x1", "a,,b", "1 TB/s:3 GB:1 TB/s"])
def test_refused_values(text):
    with pytest.raises((InputError, UnitError)):
        read_values("batch", text)


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (InputError, "batch=0: expected a whole number, at least 1", {"batch": [0, 1]}),
        (InputError, "batch=1.5: expected a whole number, at least 1", {"batch": [1, 1.5]}),
        (InputError, "axis batch: 3 is int, expected a list of values", {"batch": 3}),
        (UnknownNameError, 'unknown axis "batches"; did you mean batch?', {"batches": [1]}),
        (UnknownNameError, 'unknown metric "speed"', {"metrics": ["speed"]}),
        (UnitError, '"3 TB" is [byte], expected [byte/s]', {"vary": {"device.memory.hbm.bandwidth": ["3 TB"]}}),
        (UnknownNameError, "unknown quantity of device", {"vary": {"device.memory.hbm.speed": ["3 TB"]}}),
    ],
)
def test_refusals(error, message, options):
    with pytest.raises(error) as caught:
        ps.sweep("gpt2", Decode(dtype="bf16"), "h100-sxm5-80gb", **options)
    assert message in str(caught.value)


def test_the_bound_of_a_job_is_that_of_its_largest_share():
    prediction = ps.predict("llama-3.1-8b", Decode(batch=1, dtype="bf16"), "h100-sxm5-80gb")
    assert prediction.bound == "memory"
    assert job_bound(prediction.costs) == 1  # the second of compute, memory, network, overhead
    assert prediction.phases[0].bound == "memory"
