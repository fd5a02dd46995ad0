# ruff: noqa: E501
"""What is asked for counts, once: values in range, one value per quantity, as many devices as a layout needs."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import perfsim as ps
from perfsim.cli.main import cli
from perfsim.costs import Memory
from perfsim.errors import InputError, PerfsimError
from perfsim.prediction.memory_remarks import shortages
from perfsim.workloads import Decode

GPT2 = ["predict", "gpt2", "--on", "a100-sxm4-80gb"]
SWEEP = ["sweep", "gpt2", "--on", "l4", "--task", "decode"]


def run(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


def refused(*words):
    result = run(*words)
    assert isinstance(result.exception, SystemExit), result.exception
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr.removeprefix("perfsim: ").removesuffix("\n")


SET = [
    ("stack.compute_efficiency=2", "stack.compute_efficiency: '2' makes 2, expected at most 1: it is a share of the whole"),
    ("stack.bandwidth_efficiency=x5", "stack.bandwidth_efficiency: 'x5' makes 5, expected at most 1: it is a share of the whole"),
    ("stack.serial_share=1.5", "stack.serial_share: '1.5' makes 1.5, expected at most 1: it is a share of the whole"),
    ("stack.link_efficiency=110 %", "stack.link_efficiency: '110 %' makes 1.1, expected at most 1: it is a share of the whole"),
    ("stack.compute_efficiency=0", "stack.compute_efficiency: '0' is zero, expected a value above 0"),
    ("device.units.sm=2.5", "device.units.sm: '2.5' makes 2.5, expected a whole number"),
]


@pytest.mark.parametrize(("change", "message"), SET, ids=[change for change, _ in SET])
def test_values_out_of_range_are_refused(change, message):
    assert refused(*GPT2, "--set", change) == message
    path, value = change.split("=")
    assert refused("sweep", *GPT2[1:], "--vary", f"{path}={value}") == message


def test_what_is_no_share_may_exceed_one():
    job = ps.Inference(prompt_tokens=8, output_tokens=2)
    for path, value in {"stack.tile_rows": "128", "device.memory.hbm.bandwidth": "x1e1", "stack.serial_share": "0"}.items():
        assert ps.predict("gpt2", job, on="a100-sxm4-80gb", stack="vllm", what_if={path: value}).runtime > 0
    none = ps.predict("gpt2", job, on="a100-sxm4-80gb", what_if={"stack.communication_overlap": 0})
    assert none.stack.parameter("communication_overlap") == 0
    with pytest.raises(InputError, match=r"^device\.units\.sm: nan is not a number, expected a value of at least 0$"):
        ps.predict("gpt2", job, on="a100-sxm4-80gb", what_if={"device.units.sm": float("nan")})


TWICE = [
    ([*GPT2, "--set", "device.memory.main.bandwidth=x2", "--set", "device.memory.hbm.bandwidth=x2"],
     "device.memory.hbm.bandwidth: the same quantity of a100-sxm4-80gb as device.memory.main.bandwidth; state it once"),
    ([*GPT2, "--set", "link.nvlink.latency=0", "--set", "device.link.nvlink.latency=0"],
     "device.link.nvlink.latency: the same quantity of a100-sxm4-80gb as link.nvlink.latency; state it once"),
    ([*GPT2, "--on", "t4"], "--on: stated 2 times; state it once"),
    ([*GPT2, "--batch", 1, "--batch", 2, "--batch", 3], "--batch: stated 3 times; state it once"),
    ([*GPT2, "--stack", "vllm", "--stack", "ideal"], "--stack: stated 2 times; state it once"),
    ([*SWEEP, "--batch", 4, "--vary", "batch=1,2"], "batch is fixed by --batch and varied by --vary batch; state one of the two"),
    ([*SWEEP, "--stack", "ideal", "--vary", "stack=ideal,vllm"], "stack is fixed by --stack and varied by --vary stack; state one of the two"),
    ([*SWEEP, "--vary", "device.memory.main.bandwidth=x1,x2", "--vary", "device.memory.gddr.bandwidth=x1,x2"],
     "device.memory.gddr.bandwidth: the same quantity of l4 as device.memory.main.bandwidth; state it once"),
    ([*SWEEP, "--set", "stack.kernel_launch=1 us", "--vary", "stack.kernel_launch=x1,x2"],
     "stack.kernel_launch: both set and varied; state it once"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), TWICE, ids=[" ".join(map(str, w)) for w, _ in TWICE])
def test_what_is_stated_twice_is_refused(words, message):
    assert refused(*words) == message


def test_a_flag_twice_is_no_conflict():
    assert run(*GPT2, "--json", "--json").exit_code == 0


@pytest.mark.parametrize("text", ["1_000", "٣", "1e3", ""])
def test_whole_numbers_are_written_in_plain_digits(text):
    assert refused(*GPT2, "--prompt-tokens", text) == (
        f"Invalid value for '--prompt-tokens': {text!r} is not a valid integer. See perfsim predict --help"
    )
    assert refused(*GPT2, "--batch", text) == (
        f"Invalid value for '--batch': \"{text}\" is neither a whole number nor max. See perfsim predict --help"
    )


def test_without_a_count_a_layout_says_how_many_devices():
    job, tensor = ps.Decode(context_length=1024), [ps.Parallel(tensor=4)]
    stated = ps.predict("llama-3.1-8b", job, on="h100-sxm5-80gb", count=4, using=tensor)
    assert stated.devices == 4
    free = ps.predict("llama-3.1-8b", job, on="h100-sxm5-80gb", using=tensor)
    assert (free.runtime, free.devices) == (stated.runtime, 4)
    chains = [[ps.Parallel(tensor=2)], [ps.Parallel(tensor=4)]]
    swept = ps.sweep("llama-3.1-8b", job, "h100-sxm5-80gb", using=chains)
    assert not swept.refused.any()
    assert swept.runtime.values[1] == pytest.approx(stated.runtime, rel=1e-12)
    sizes = {n: ps.largest_batch("llama-3.1-70b", job, "h100-sxm5-80gb", count=n, using=tensor) for n in (None, 4)}
    assert sizes[None] == sizes[4] > 0
    answer = ps.solve("batch", so_that="fits", model="llama-3.1-70b", job=job, on="h100-sxm5-80gb", using=tensor)
    assert answer.value == sizes[4]
    with pytest.raises(InputError) as refusal:
        ps.predict("llama-3.1-8b", job, on="h100-sxm5-80gb", count=2, using=tensor)
    message = "parallel layout needs 4 devices (tensor × pipeline × data), the system has count=2; make them equal"
    assert str(refusal.value) == message


def test_a_system_has_its_count():
    on, job = ps.system("h100-sxm5-80gb", count=4), ps.Decode()
    assert ps.predict("llama-3.1-8b", job, on=on, count=4).devices == 4
    with pytest.raises(InputError) as refusal:
        ps.predict("llama-3.1-8b", job, on=on, count=2)
    assert str(refusal.value) == "count=2: the system has 4 devices already; state one of the two"
    with pytest.raises(PerfsimError, match=r"^parallel layout needs 2 devices"):
        ps.predict("llama-3.1-8b", job, on=on, using=[ps.Parallel(tensor=2)])


def test_a_sweep_writes_everything_that_is_asked(tmp_path):
    page, table = tmp_path / "page.html", tmp_path / "table.csv"
    result = run(*SWEEP, "--vary", "batch=1,2,4", "--html", page, "--out", table, "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert told == {
        "file": str(table), "page": str(page), "points": 3, "axes": {"model": 1, "device": 1, "batch": 3}, "refusals": [],
    }  # fmt: skip
    assert len(table.read_text().splitlines()) == 4
    assert "<html" in page.read_text()


def test_a_page_is_evaluated_part_by_part_as_a_whole():
    from perfsim.sweeps import plan_sweep
    from perfsim.sweeps.stream import evaluated_here, whole_result

    plan = plan_sweep("gpt2", Decode(dtype="fp16"), ["l4", "t4"], batch=[1, 2, 3], context_length=[9, 99])
    parts = plan.dataset(whole_result(plan, evaluated_here, rows=2))
    np.testing.assert_array_equal(parts.runtime.values, plan.dataset().runtime.values)


@pytest.mark.parametrize("name", ["adaptthink", "autothink", "o3-thinks-harder", "inference-time-scaling-eureka",
                                  "rag-inference-scaling", "stop-overthinking-survey"])  # fmt: skip
def test_a_job_of_one_token_has_no_time_per_further_token(name):
    """tpot is per token of the job as asked: a longer answer of a technique does not make one."""
    one = ps.predict(
        "llama-3.1-8b", ps.Inference(prompt_tokens=1, output_tokens=1), on="h100-sxm5-80gb", using=[f"system:{name}"]
    )
    assert one.runtime > 0
    assert one.tpot is None or one.job.decode_steps > 0
    assert "tpot" in one.to_dict()


def test_amounts_have_as_many_digits_as_tell_them_apart():
    words = ["predict", "resnet50", "--on", "stm32h743", "--batch", "max", "--dtype", "int8"]
    assert refused(*words) == (
        "--batch max: not even batch=1 fits: 25.68 MB needed per device, 1 MB there; use more devices, shorter sequences or fewer bits"
    )
    assert shortages(Memory(80 * 2**30 + 1, 0, 0, 80 * 2**30)) == ["85.899345921 GB needed per device, 85.89934592 GB there"]
