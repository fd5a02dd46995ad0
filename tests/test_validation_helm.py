"""Idealized runtimes: the two-phase model, HELM's look-up rule, and Megatron's profiles against predictions."""

import pytest

import perfsim as ps
from perfsim.catalog import model_names
from perfsim.errors import InputError
from perfsim.validation.helm import (
    DEVICES,
    FITTED,
    TwoPhaseModel,
    fit_two_phase,
    helm_suite,
    measured_runtime,
    predict_profile,
    prompt_suite,
    read_helm,
    read_points,
    token_suite,
)
from perfsim.validation.idealized import idealized_table

# prompt times [s] of davinci in HELM's table, as far as the oracles need them; 0.081 s per further token
DAVINCI = TwoPhaseModel({1: 0.084, 16: 0.087, 32: 0.0895, 64: 0.091, 512: 0.178, 576: 0.2175, 1024: 0.323}, 0.081)


def test_the_look_up_rule_gives_the_published_numbers():
    assert DAVINCI.helm_runtime(512, 64) == pytest.approx(0.178 + 63 * 0.081)  # 5.281 s
    assert DAVINCI.helm_runtime(512, 64) == pytest.approx(5.281, abs=5e-4)
    assert DAVINCI.helm_runtime(1000, 100) == pytest.approx(0.323 * 1000 / 1024 + 99 * 0.081)
    assert DAVINCI.helm_runtime(1000, 100) == pytest.approx(8.334, abs=1e-3)
    assert DAVINCI.helm_runtime(513, 1) == pytest.approx(0.193, abs=1e-3)  # 0.2175 · 513 / 576, not just above 0.178
    assert DAVINCI.helm_runtime(2, 1) == pytest.approx(0.087 * 2 / 16)  # the sawtooth: 8 times below one token


def test_between_tabulated_prompts_the_model_is_a_straight_line():
    assert DAVINCI.runtime(544, 1) == pytest.approx((0.178 + 0.2175) / 2)  # halfway from 512 to 576
    assert DAVINCI.runtime(1, 1) == DAVINCI.runtime(1, 0) == 0.084
    assert DAVINCI.runtime(2048, 1) == pytest.approx(2 * 0.323)  # in proportion beyond the last one
    assert TwoPhaseModel({1: 0.1}, 0.01, overhead=0.5).runtime(1, 11) == pytest.approx(0.5 + 0.1 + 10 * 0.01)


def test_the_cost_of_a_request():
    """5.281 s on 8 devices at 4.096 USD per hour: 5.281 · 8 · 4.096 / 3600 = 4.807 cents."""
    assert pytest.approx(4.807, abs=1e-3) == 100 * 5.281 * 8 * 4.096 / 3600
    davinci = next(row for row in idealized_table("megatron_log_a100") if row.profile == "openai_davinci")
    assert davinci.gpus == 8
    assert davinci.cost[1] == pytest.approx(davinci.runtime[1] * 8 * 4.096 / 3600)
    assert davinci.cost[0] / davinci.cost[1] == pytest.approx(davinci.runtime[0] / davinci.runtime[1])


def test_a_fit_recovers_the_model_of_noiseless_points_and_takes_the_least_of_repetitions():
    points = [(p, o, 0.01 * p + 0.5 + 0.02 * (o - 1)) for p in (1, 10, 100) for o in (1, 2, 8)]
    model = fit_two_phase([*points, (10, 2, 99.0)])
    assert model.token_runtime == pytest.approx(0.02)
    assert model.prompts == pytest.approx({1: 0.51, 10: 0.6, 100: 1.5})


def test_a_fit_without_single_tokens_takes_the_intercept():
    model = fit_two_phase([(5, o, 1.0 + 0.1 * (o - 1)) for o in (4, 8, 16)])
    assert model.prompts == pytest.approx({5: 1.0})


def test_a_fit_needs_two_output_sizes():
    with pytest.raises(InputError) as error:
        fit_two_phase([(1, 1, 0.5), (2, 1, 0.6)])
    expected = "no prompt size was measured with two output sizes; expected at least one to find β"
    assert str(error.value) == expected


def test_points_come_from_a_csv(tmp_path):
    good, bad = tmp_path / "points.csv", tmp_path / "bad.csv"
    good.write_text("prompt,output,time\n1,1,0.5\n1,2,0.6\n")
    bad.write_text("prompt,output\n1,1\n")
    assert read_points(good) == ((1, 1, 0.5), (1, 2, 0.6))
    with pytest.raises(InputError) as error:
        read_points(bad)
    missing = "column time is missing; expected columns prompt, output, time [s]"
    assert str(error.value) == f"{bad}: not a table of points: {missing}"


def on(report, device):
    return report.statistics([pair for pair in report.pairs if pair.device == device])


def test_requests_on_a100():
    """All measured requests: mean at most 5 %, 90th percentile at most 12 %, the misaligned profile included."""
    numbers = on(helm_suite(), "a100-sxm4-80gb")
    assert numbers["rows"] == 13 * 11 * 10
    assert numbers["mape"] <= 5
    assert numbers["p90"] <= 12


def test_requests_on_v100_with_two_refitted_numbers():
    numbers = on(helm_suite(), "v100-sxm2-32gb")
    assert numbers["mape"] <= 10
    variants = {patterns: data for patterns, data, _ in ps.stack("megatron-2022").variants}
    assert sorted(variants["v100-*",]) == ["host_per_collective", "host_per_layer"]


def test_time_per_token_on_a100():
    report = token_suite()
    pairs = [pair for pair in report.pairs if pair.device == "a100-sxm4-80gb"]
    assert len(pairs) == 13
    assert report.statistics(pairs)["mape"] <= 3
    assert max(abs(pair.error) for pair in pairs) <= 0.12


def test_at_most_six_profiles_were_fitted():
    assert len(FITTED["megatron_log_a100"]) == 6
    fitted = {pair.model for pair in prompt_suite().pairs if pair.fitted and pair.device == "a100-sxm4-80gb"}
    assert fitted == {"megatron-" + profile.replace("_", "-") for profile in FITTED["megatron_log_a100"]}
    assert fitted <= set(model_names())


def test_the_ideal_bound_lies_below_every_measured_point():
    rows = [row for row in read_helm() if row.source in DEVICES]
    assert len(rows) > 200
    for row in rows:
        ideal = predict_profile(row, DEVICES[row.source], "ideal")
        assert ideal.ttft < row.prompt_runtime
        assert ideal.tpot < row.token_runtime
        assert ideal.runtime < measured_runtime(row, 64)


@pytest.mark.parametrize(("batch", "prompt", "token"), [(1, 61.1e-3, 13.5e-3), (8, 439e-3, 14.4e-3)])
def test_the_serving_stack_meets_the_measured_table_it_was_not_fitted_to(batch, prompt, token):
    """Llama-2-7B on an A100, 1024 tokens: 15 % around the table of AIConfigurator's vLLM kernels."""
    prefill = ps.Prefill(prompt_tokens=1024, batch=batch, dtype="fp16")
    decode = ps.Decode(context_length=1024, batch=batch, dtype="fp16")
    runtimes = [ps.predict("llama-2-7b", job, on="a100-sxm4-80gb", stack="vllm").runtime for job in (prefill, decode)]
    assert runtimes == pytest.approx([prompt, token], rel=0.15)


def test_decoding_on_one_v100_is_hardly_slower_than_on_one_a100():
    """The host is the bound: 2.3 times less bandwidth costs 7 to 12 % in the logs, and at most 20 % here."""
    logs = {(row.source, row.profile): row for row in read_helm() if row.source in DEVICES and row.prompt_tokens == 512}
    for profile in ("openai_ada", "gptj_6b", "ai21_j1_large"):
        ratio = [predict_profile(logs[source, profile], DEVICES[source]).tpot for source in DEVICES]
        assert 1.05 < ratio[1] / ratio[0] < 1.2
