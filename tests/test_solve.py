"""Inverse questions, elasticities and crossovers: against predictions made by hand beside the answer."""

import json
import math

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import perfsim as ps
from perfsim.cli.main import cli
from perfsim.errors import InputError, UnitError, UnknownNameError
from perfsim.sweeps import crossover, elasticities, iso, tornado

ASKED = {"model": "llama-3.1-8b", "job": ps.Decode(batch=8, context_length=2048, dtype="bf16"), "on": "h100-sxm5-80gb"}
BANDWIDTH = "device.memory.hbm.bandwidth"


def test_the_bandwidth_of_a_memory_bound_step_is_its_traffic_over_the_limit():
    answer = ps.solve(BANDWIDTH, so_that="tpot <= 4 ms", **ASKED)
    p = ps.predict(ASKED["model"], ASKED["job"], ASKED["on"])
    assert p.runtime == pytest.approx(p.traffic / 3.35e12)  # all of it is memory time
    assert answer.value == pytest.approx(p.traffic / 4e-3, rel=1e-14)
    assert (answer.want, answer.exact, answer.monotone, answer.unit) == ("smallest", True, True, "byte/s")
    assert answer.obstacles == ("memory: tpot is 4 ms, and that is what most of the time goes to",)


@settings(max_examples=8, deadline=None)
@given(st.floats(1e-3, 1.0), st.integers(1, 64), st.sampled_from(["ideal", "vllm"]))
def test_the_answer_holds_and_its_neighbour_does_not(limit, batch, stack):
    asked = {**ASKED, "job": ASKED["job"].replace(batch=batch), "stack": stack}
    answer = ps.solve(BANDWIDTH, so_that=f"tpot <= {limit!r} s", **asked)

    def at(value):
        return ps.predict(asked["model"], asked["job"], asked["on"], stack=stack, what_if={BANDWIDTH: value}).tpot

    if answer.value is None:
        assert at(answer.searched[1]) > limit
    elif answer.value > answer.searched[0]:
        assert at(answer.value) <= limit < at(math.nextafter(answer.value, 0))


def test_the_largest_batch_is_that_of_the_other_function():
    job = ps.Inference(prompt_tokens=1024, output_tokens=128, dtype="bf16")
    asked = {"model": "llama-3.1-8b", "job": job, "on": "l40s", "stack": "vllm"}
    answer = ps.solve("batch", so_that="fits", **asked)
    assert answer.value == ps.largest_batch("llama-3.1-8b", job, "l40s", stack="vllm")
    assert answer.want == "largest"
    assert answer.obstacles[0].startswith("capacity: ")


def test_two_constraints_and_the_one_that_stops_it():
    answer = ps.solve("batch", so_that="tpot <= 8 ms and fits", **ASKED)
    slower = ps.predict(ASKED["model"], ASKED["job"].replace(batch=answer.value + 1), ASKED["on"])
    assert slower.tpot > 8e-3
    assert slower.memory.fits
    assert [text.partition(":")[0] for text in answer.obstacles] == ["memory"]


def test_the_smallest_number_of_devices_skips_layouts_that_cannot_be_built():
    asked = {"model": "llama-3.1-70b", "job": ASKED["job"], "on": "h100-sxm5-80gb"}
    answer = ps.solve("count", so_that="fits", **asked)
    assert answer.value == 2  # 141 GB of weights on 80 GiB devices
    assert ps.solve("count", so_that="fits", want="largest", **asked).value == 64  # its heads


def test_parameters_of_techniques():
    asked = {**ASKED, "using": ["weight-quantization:bits=4"], "what_if": {"device.memory.hbm.capacity": "7 GB"}}
    bits = ps.solve("using.weight-quantization.bits", so_that="fits", want="largest", **asked).value
    fitting = []
    for b in (1, 2, 3, 4, 5, 6, 8):  # there is no format of 7 bits
        p = ps.predict(
            ASKED["model"], ASKED["job"], ASKED["on"], using=[f"weight-quantization:bits={b}"], what_if=asked["what_if"]
        )  # fmt: skip
        fitting += [b] if p.memory.fits else []
    assert bits == max(fitting) < 8


def test_no_answer_says_what_stands_in_the_way():
    answer = ps.solve(BANDWIDTH, so_that="tpot <= 0.1 ms", **ASKED)
    assert answer.value is None
    assert answer.closest == pytest.approx(3.35e18)
    assert str(answer) == (
        "no device.memory.hbm.bandwidth from 3.35 MB/s to 3350 PB/s gives tpot <= 0.1 ms (closest at "
        f"{answer.shown(answer.closest)})\nin the way: {answer.obstacles[0]}\nin the way: {answer.obstacles[1]}"
    )
    assert answer.obstacles[0].startswith("compute: tpot is ")
    peak = ps.predict(*ASKED.values(), what_if={BANDWIDTH: answer.closest, "device.compute.tensor.bf16": "x1.01"})
    assert peak.tpot < answer.prediction.tpot
    assert answer.obstacles[1].startswith("device.compute.tensor.bf16: 1 % more of it changes tpot by -")


def test_a_range_without_any_limit():
    answer = ps.solve("batch", so_that="tpot >= 1 us", between=(1, 9), **ASKED)
    assert (answer.value, answer.obstacles) == (1, ())
    assert "that is the end of the range 1 to 9; no limit was met inside" in str(answer)


@pytest.mark.parametrize(
    ("find", "so_that", "message"),
    [
        ("batsh", "fits", 'unknown quantity "batsh"; did you mean batch?'),
        ("batch", "tpot = 3", 'so_that "tpot = 3": expected e.g. "tpot <= 20 ms"'),
        ("batch", "tpot <= 3 GB", 'so_that "tpot <= 3 GB": "3 GB" is [byte], expected [s]'),
        ("batch", "tpott <= 3 s", 'unknown metric "tpott"; did you mean tpot?'),
        ("batch", "bound == slow", 'so_that "bound == slow": expected bound == compute or memory'),
        ("batch", "cost == 3 USD", 'so_that "cost == 3 USD": a number is met by <= or >=, not by =='),
        ("stack.kernel_launch", "fits", "stack.kernel_launch is 0: state between which values to look"),
    ],
)
def test_wrong_questions(find, so_that, message):
    with pytest.raises((InputError, UnitError, UnknownNameError)) as caught:
        ps.solve(find, so_that=so_that, **ASKED)
    assert str(caught.value).startswith(message)


def test_curves_of_equal_latency():
    found = iso(BANDWIDTH, so_that="tpot <= 5 ms", along={"batch": [1, 64]}, **ASKED)
    assert found[BANDWIDTH].attrs["units"] == "byte/s"
    for batch in (1, 64):
        alone = ps.solve(BANDWIDTH, so_that="tpot <= 5 ms", **{**ASKED, "job": ASKED["job"].replace(batch=batch)})
        assert float(found[BANDWIDTH].sel(batch=batch)) == alone.value


def test_elasticities_of_an_ideal_runtime_add_up_to_minus_one():
    job = ps.Inference(prompt_tokens=512, output_tokens=32, batch=4, dtype="bf16")
    found = elasticities("runtime", model="llama-3.1-8b", job=job, on="h100-sxm5-80gb")
    assert sum(e.value for e in found) == pytest.approx(-1, abs=1e-6)
    assert {e.quantity for e in found} >= {BANDWIDTH, "device.compute.tensor.bf16"}
    assert [abs(e.value) for e in found] == sorted((abs(e.value) for e in found), reverse=True)


def test_a_tornado_is_two_predictions_per_quantity():
    (swing,) = tornado("tpot", to=[BANDWIDTH], factor=2, **ASKED)
    runtimes = [
        ps.predict(*(ASKED[k] for k in ("model", "job", "on")), what_if={BANDWIDTH: s}).tpot
        for s in ("x0.5", "x1", "x2")
    ]
    assert [swing.low, swing.present, swing.high] == runtimes
    with pytest.raises(InputError, match="batch is a whole number"):
        elasticities("tpot", to=["batch"], **ASKED)


def test_where_two_variants_change_places():
    """An eighth of the compute and twice the bandwidth wins until the batch makes the matrix products compute-bound."""
    changes = {BANDWIDTH: "x2", "device.compute.tensor.bf16": "x0.125"}
    found = crossover("batch", first={}, second=changes, metric="runtime", between=(1, 1000), **ASKED)

    def runtime(batch, what_if):
        return ps.predict(ASKED["model"], ASKED["job"].replace(batch=batch), ASKED["on"], what_if=what_if).runtime

    (crossing,) = found.crossings
    assert (found.better, crossing.better) == (found.second, "as asked")
    assert runtime(crossing.value - 1, changes) <= runtime(crossing.value - 1, {})
    assert runtime(crossing.value, {}) < runtime(crossing.value, changes)


def test_command_line():
    call = ["solve", "llama-3.1-8b", "--on", "h100-sxm5-80gb", "--task", "decode", "--batch", "8", "--dtype", "bf16"]
    result = CliRunner().invoke(cli, [*call, "--find", BANDWIDTH, "--so-that", "tpot <= 4 ms", "--json"])
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["reached"]["tpot"] <= 4e-3
    assert data["value"] == pytest.approx(data["value"])
    result = CliRunner().invoke(
        cli,
        [*call, "--find", BANDWIDTH, "--so-that", "tpot <= 4 ms", "--between", "1 TB/s:2 TB/s"],
        standalone_mode=False,
    )
    assert result.return_value == 1
    assert result.stdout.startswith("no device.memory.hbm.bandwidth from 1 TB/s to 2 TB/s gives tpot <= 4 ms (closest")
