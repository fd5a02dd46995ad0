"""Test-time scaling and pipelines: counts of phases, declared quality against simulations, retrieval."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfsim as ps
from perfsim.errors import InputError
from perfsim.prediction.quality import (
    Choice,
    Problems,
    best_draws,
    best_within_budget,
    cost_of_pass,
    coverage,
    expected_draws,
    frontier_cost,
    kinetics_flops,
    majority_success,
    resampling_value,
    saturating_success,
    saturation_point,
    verified_accuracy,
)
from perfsim.techniques.scaling.thinking import expected_length

CARD = "h100-sxm5-80gb"


def ask(using=(), model="qwen2.5-7b", **fields):
    job = ps.Inference(**{"prompt_tokens": 256, "output_tokens": 64, "dtype": "bf16", **fields})
    return ps.predict(model, job, on=CARD, using=list(using))


def test_samples_share_the_prompt_and_decode_together():
    p, one, batch = ask(["parallel-samples:samples=16"]), ask(), ask(batch=16)
    assert p.ttft == one.ttft
    assert p.phase("decode").runtime == batch.phase("decode").runtime
    assert p.throughput == pytest.approx(64 / p.runtime)


def test_a_verifier_reads_every_answer():
    p = ask(["parallel-samples:samples=4,verifier=qwen2.5-0.5b"])
    reading = ps.predict("qwen2.5-0.5b", ps.Prefill(prompt_tokens=320, batch=4, dtype="bf16"), on=CARD)
    assert p.phase("verify/read").runtime == reading.runtime
    assert p.memory.weights == ask().memory.weights + reading.memory.weights
    steps = ask(["parallel-samples:samples=4,verifier=qwen2.5-0.5b,every=16"])
    assert steps.phase("verify/steps").repeat == pytest.approx(63 / 16)


def test_samples_and_speculation_work_in_either_order():
    chain = ["parallel-samples:samples=8", "speculative-decoding:draft=qwen2.5-0.5b", "weight-quantization:bits=4"]
    runtimes = {ask(order).runtime for order in (chain, chain[::-1], [chain[1], chain[2], chain[0]])}
    assert len(runtimes) == 1
    p = ask(chain)
    assert p.phase("prefill/draft").phase.sequences == 1
    assert p.phase("decode/draft").phase.sequences == 8


def test_thought_for_a_share_of_the_questions():
    p, always, never = (ask([f"thinking:tokens=500,share={share}"]) for share in (0.4, 1.0, 0.0))
    assert p.runtime == pytest.approx(0.4 * always.runtime + 0.6 * never.runtime)
    assert never.runtime == ask().runtime
    assert always.runtime == pytest.approx(ask(output_tokens=564).runtime)
    assert p.memory.kv_cache == always.memory.kv_cache
    assert expected_length(answer=64, thought=500, share=0.4) == 264


def test_shorter_reasoning():
    p = ask(["reasoning-length:length=0.5,share=0.25,answer=10"], output_tokens=1000)
    long, short = ask(output_tokens=500), ask(output_tokens=10)
    assert p.runtime == pytest.approx(0.25 * long.runtime + 0.75 * short.runtime)


def test_revisions_are_one_long_decode():
    p, long = ask(["sequential-revisions:rounds=3"]), ask(output_tokens=192)
    assert p.runtime == pytest.approx(long.runtime)
    fed, read = (ask([f"sequential-revisions:rounds=3,feedback=50,reuse={reuse}"]) for reuse in ("prefix", "none"))
    assert [c.phase.tokens for c in fed.costs[2:]] == [50, 50]
    assert [c.phase.tokens for c in read.costs[2:]] == [256 + 64 + 50, 256 + 2 * (64 + 50)]


@pytest.mark.parametrize("name", ["parallel-samples:samples=2", "thinking:tokens=9", "sequential-revisions:rounds=2"])
def test_jobs_without_output_are_refused(name):
    with pytest.raises(InputError, match="it needs a prompt and an output; use Inference"):
        ps.predict("gpt2", ps.Decode(dtype="fp16"), on=CARD, using=[name])


def test_retrieval_searches_ranks_and_reads():
    using = (
        "retrieval:passages=5,tokens=100,vectors=1e6,width=768,probe=0.1,reranker=bert-base,candidates=20,delay=0.002"
    )
    p = ask([using])
    longer = ask(prompt_tokens=756)
    assert p.phase("prefill").runtime == longer.phase("prefill").runtime
    scan = p.phase("prefill/search")
    assert scan.flops == pytest.approx(1e6 * 0.1 * (2 * 768 + 1))
    assert scan.traffic == pytest.approx(1e6 * 0.1 * 768 * 4, rel=0.001)
    assert scan.runtime > 0.002
    ranking = ps.predict("bert-base", ps.SinglePass(sequence=356, batch=20, dtype="bf16"), on=CARD)
    assert p.phase("prefill/rerank").runtime == ranking.runtime
    assert p.memory.weights == longer.memory.weights + ranking.memory.weights + 1e6 * 768 * 4
    assert p.ttft == pytest.approx(sum(c.runtime for c in p.costs if c.phase.stage == "prefill"))


def test_stages_on_the_host_add_their_time():
    plain, p = ask(), ask(["host-stages:before=tokenise=0.01/copy=0.002,after=send=0.02"])
    assert p.ttft == pytest.approx(plain.ttft + 0.012)
    assert p.runtime == pytest.approx(plain.runtime + 0.032)
    assert p.explain("after/send") == "after/send of qwen2.5-7b: no work on the device, 20 ms of " + (
        f"{1e3 * p.runtime:.4g} ms\n"
    )
    with pytest.raises(InputError) as refusal:
        ask(["host-stages:before=copy"])
    assert (
        str(refusal.value)
        == 'host-stages: before="copy": expected name=seconds with slashes between, e.g. jpeg=0.003/resize=0.001'
    )


def test_formulas_of_two_decodes_are_shown():
    assert "decode/direct of qwen2.5-7b" in ask(["reasoning-length:length=0.5,share=0.5"]).explain("decode/direct")


CHAINS = [
    "speculative-decoding:draft=qwen2.5-0.5b", "early-exit:exits=8,shares=0.3", "model-routing:small=qwen2.5-0.5b",
    "parallel-samples:samples=4,verifier=qwen2.5-0.5b,every=16", "thinking:tokens=100,share=0.5",
    "retrieval:passages=2,vectors=1e5,reranker=bert-base,candidates=5",
]  # fmt: skip


@pytest.mark.parametrize("using", CHAINS)
def test_sweeps_agree_with_single_predictions(using):
    job = ps.Inference(prompt_tokens=128, output_tokens=16, dtype="bf16")
    swept = ps.sweep("qwen2.5-7b", job, CARD, batch=[1, 4, 64], using=[[using]])
    single = [float(ask([using], prompt_tokens=128, output_tokens=16, batch=b).runtime) for b in (1, 4, 64)]
    assert swept.runtime.values.ravel().tolist() == pytest.approx(single)


@pytest.mark.parametrize("other", ["parallel:pipeline=2", "low-rank:ratio=0.25", "weight-quantization:bits=4"])
def test_phases_without_layers_stand_beside_other_techniques(other):
    chain = ["host-stages:before=a=0.1", "retrieval:passages=2,vectors=1e5", other]
    job = ps.Inference(prompt_tokens=64, output_tokens=8, dtype="bf16")
    one, two = (
        ps.predict("qwen2.5-7b", job, on=CARD, using=using, count=2 if "parallel" in other else 1)
        for using in (chain, chain[::-1])
    )
    assert one.runtime == pytest.approx(two.runtime)
    assert one.phase("prefill/search").flops == pytest.approx(1e5 * (2 * 768 + 1))


def test_frames_reuse_features():
    job = ps.SinglePass(dtype="fp16")
    key, half, p = (
        ps.predict("vit-base-16", job, on=CARD, using=u)
        for u in ([], ["layer-skipping:keep=0.5"], ["feature-reuse:interval=4,fresh=0.5"])
    )
    assert p.runtime == pytest.approx(key.runtime / 4 + 0.75 * half.runtime)
    assert p.memory.weights == key.memory.weights


def test_kinetics_counts_traffic_at_the_machine_balance():
    p = ask()
    balance = p.peak / p.system.device.bandwidth
    assert kinetics_flops(p) == pytest.approx(p.flops + p.traffic * balance)
    assert kinetics_flops(p, intensity=0) == p.flops


@given(st.floats(0.01, 1), st.integers(1, 50))
def test_coverage_grows_with_samples(success, samples):
    assert coverage(success=success, samples=1) == pytest.approx(success)
    assert coverage(success=success, samples=samples + 1) >= coverage(success=success, samples=samples)


@pytest.mark.parametrize(("success", "samples"), [(0.6, 5), (0.4, 8), (0.7, 2)])
def test_a_vote_equals_a_simulation(success, samples):
    rng, count, won = random.Random(5), 20_000, 0.0
    for _ in range(count):
        right = sum(rng.random() < success for _ in range(samples))
        won += 1.0 if 2 * right > samples else 0.5 if 2 * right == samples else 0.0
    expected = majority_success(success=success, samples=samples)
    assert abs(won / count - expected) <= 4 * math.sqrt(0.25 / count)


def test_draws_until_a_check_passes_equal_a_simulation():
    success, wrong, rng, count = 0.3, 0.2, random.Random(7), 20_000
    draws, right = [], 0
    for _ in range(count):
        number = 0
        while True:
            number += 1
            good = rng.random() < success
            if good or rng.random() < wrong:
                break
        draws.append(number)
        right += good
    expected = expected_draws(success=success, false_positive=wrong)
    assert expected == pytest.approx(1 / 0.44)
    deviation = math.sqrt(1 - 0.44) / 0.44
    assert abs(sum(draws) / count - expected) <= 4 * deviation / math.sqrt(count)
    accuracy = verified_accuracy(success=success, false_positive=wrong)
    assert abs(right / count - accuracy) <= 4 * math.sqrt(accuracy * (1 - accuracy) / count)


def test_hard_questions_make_the_best_number_of_draws_finite():
    mix = [Problems(0.7, 0.6, 0.1), Problems(0.3, 0.02, 0.2)]
    best = best_draws(mix, reward=1, penalty=1)
    assert 1 <= best < 10
    value = [resampling_value(mix, draws=k, reward=1, penalty=1, cost=0) for k in range(20)]
    assert best == value.index(max(value))
    assert best_draws([Problems(1.0, 0.0, 0.5)], reward=1, penalty=1) == 0


def test_the_cost_of_a_right_answer():
    assert cost_of_pass(cost=2.0, success=0.5) == 4.0
    assert cost_of_pass(cost=2.0, success=0.0) == math.inf
    assert frontier_cost(attempts=[(2.0, 0.5), (9.0, 0.9)], expert=5.0) == 4.0
    with pytest.raises(InputError) as refusal:
        cost_of_pass(cost=1.0, success=2.0)
    assert str(refusal.value) == "success=2.0: expected a probability from 0 to 1"


@given(st.floats(0.02, 0.9), st.floats(0.1, 1), st.floats(0.0005, 0.01))
def test_behind_saturation_the_next_unit_gains_less_than_the_threshold(single, ceiling, threshold):
    point = saturation_point(single=single, ceiling=ceiling, threshold=threshold)

    def gain(units):
        after, before = (saturating_success(single=single, ceiling=ceiling, samples=n) for n in (units + 1, units))
        return after - before

    assert gain(point) <= threshold * (1 + 1e-6)
    assert point == 0 or gain(point) == pytest.approx(threshold)


def test_the_best_choice_within_a_budget():
    choices = [Choice("small × 8", 4.0, 0.7), Choice("large", 5.0, 0.8), Choice("larger", 9.0, 0.9)]
    assert best_within_budget(choices, 6.0).name == "large"
    with pytest.raises(InputError) as refusal:
        best_within_budget(choices, 1.0)
    assert str(refusal.value) == "budget=1 pays for nothing: the cheapest, small × 8, costs 4"
