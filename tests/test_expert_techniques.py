"""Experts: how many are touched, what fits, and what is waited for."""

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfsim as ps
from perfsim.errors import InputError
from perfsim.ops.experts import distinct_experts
from perfsim.techniques.experts.paging import exposed_loading

H200 = "h200-sxm-141gb"
STEP = ps.Decode(context_length=512, batch=1, dtype="bf16")
EXPERT = 3 * 4096 * 14336 * 2  # bytes of one expert of Mixtral 8x7B
LAYERS = 32


def run(*using, job=STEP, model="mixtral-8x7b", stack="ideal"):
    return ps.predict(model, job, H200, stack=stack, using=using)


def test_a_number_of_experts_that_depends_on_the_token_needs_its_mean_only():
    experts, tokens, draws, rng = 8, 5, 4000, random.Random(5)
    counts = []
    for _ in range(draws):
        used = [expert for _ in range(tokens) for expert in rng.sample(range(experts), rng.choice([1, 1, 3]))]
        counts.append(len(set(used)))
    error = statistics.stdev(counts) / draws**0.5
    expected = distinct_experts(experts=experts, top_k=5 / 3, tokens=tokens)
    assert expected == pytest.approx(statistics.mean(counts), abs=4 * error)


def test_fewer_experts_per_token_save_bytes_while_few_are_touched():
    one, two = run("expert-top-k:top_k=1"), run()
    assert two.traffic - one.traffic == pytest.approx(LAYERS * EXPERT, rel=1e-3)
    assert one.memory.weights == two.memory.weights
    between = run("expert-top-k:top_k=1.5").traffic
    assert between == pytest.approx((one.traffic + two.traffic) / 2, rel=1e-3)
    large = STEP.replace(batch=64)
    assert run("expert-top-k:top_k=1", job=large).tpot == pytest.approx(run(job=large).tpot, rel=1e-2)


def test_pruned_experts_save_memory_and_only_large_batches_time():
    half, whole = run("expert-pruning:share=0.5"), run()
    assert whole.memory.weights - half.memory.weights == LAYERS * (4 * EXPERT + 4 * 4096 * 2)  # and router columns
    assert half.tpot == pytest.approx(whole.tpot, rel=1e-3)
    large = STEP.replace(batch=64)
    assert run("expert-pruning:share=0.5", job=large).tpot < 0.7 * run(job=large).tpot


@pytest.mark.parametrize("name", ["expert-top-k", "expert-pruning", "expert-paging:bandwidth=1e9"])
def test_without_experts_there_is_nothing_to_do(name):
    with pytest.raises(InputError, match="it has no experts"):
        run(name, model="llama-2-7b")


def test_more_experts_than_there_are_is_refused():
    with pytest.raises(InputError, match="top_k=9 is not between 1 and its 8 experts"):
        run("expert-top-k:top_k=9")


def test_what_is_waited_for():
    assert exposed_loading(loading=10.0, predicted=0.0, compute=4.0) == 10.0
    assert exposed_loading(loading=10.0, predicted=0.3, compute=4.0) == 7.0
    assert exposed_loading(loading=10.0, predicted=1.0, compute=4.0) == 6.0


@given(st.floats(0, 10), st.floats(0, 1), st.floats(0, 1), st.floats(0, 10))
def test_better_prediction_never_waits_longer(loading, one, other, compute):
    worse, better = sorted((one, other))
    waits = [exposed_loading(loading=loading, predicted=p, compute=compute) for p in (worse, better)]
    assert 0 <= waits[1] <= waits[0] + 1e-12


def test_paged_experts_leave_memory_and_are_loaded_over_the_link():
    paged, plain = run("expert-paging:resident=0.25,hit=0.5,bandwidth=1e10"), run()
    assert plain.memory.weights - paged.memory.weights == LAYERS * 6 * EXPERT
    assert paged.tpot - plain.tpot == pytest.approx(LAYERS * 2 * 0.5 * EXPERT / 1e10, rel=1e-3)
    assert paged.flops == plain.flops
    assert paged.traffic == pytest.approx(plain.traffic)


def test_prediction_hides_loading_behind_work_only():
    step = run().tpot
    hidden = run("expert-paging:resident=0.25,hit=0.5,bandwidth=1e10,prediction=1").tpot
    waited = run("expert-paging:resident=0.25,hit=0.5,bandwidth=1e10").tpot
    assert waited - hidden == pytest.approx(step, rel=1e-3)


def test_narrow_experts_load_faster():
    using = "expert-paging:resident=0.25,hit=0.5,bandwidth=1e10"
    four = run("precision-by-part:experts=4", using)
    assert run(using).tpot / four.tpot == pytest.approx(16 / (4 + 20 / 128), rel=0.05)
    slots = LAYERS * 2 * EXPERT * (4 + 20 / 128) / 16
    other = run().memory.weights - LAYERS * 8 * EXPERT
    assert four.memory.weights == pytest.approx(slots + other, rel=1e-6)
    assert run(using, "precision-by-part:experts=4").tpot == four.tpot  # paging comes behind, in whatever order stated


def test_experts_of_two_widths_cost_their_mean():
    both = run("expert-precision:share=0.25,bits=2,other=4,group=128").memory.weights
    mean = 0.25 * (2 + 18 / 128) + 0.75 * (4 + 20 / 128)
    assert run().memory.weights - both == pytest.approx(LAYERS * 8 * EXPERT * (1 - mean / 16), rel=1e-9)
    with pytest.raises(InputError, match="it has no experts with stored weights"):
        run("expert-precision", model="llama-2-7b")


def test_experts_are_paged_once():
    with pytest.raises(InputError, match="its experts are paged already"):
        run("expert-paging:bandwidth=1e9", "expert-paging:bandwidth=1e9")


def test_adapters_that_are_experts_cannot_be_folded():
    adapted = run("adapter-experts:experts=8,top_k=2,rank=8", model="llama-2-7b")
    per_layer = [(4096, 4096)] * 3 + [(4096, 11008)] * 2 + [(11008, 4096)]  # q, k, v, gate, up, down
    added = LAYERS * sum(8 * 8 * (k + n) + 8 * k for k, n in per_layer) * 2
    assert adapted.memory.weights - run(model="llama-2-7b").memory.weights == added
    real = [run(*using, model="llama-2-7b", stack="vllm").tpot for using in ((), ("adapter-experts",))]
    assert real[1] > 1.3 * real[0]  # six small kernels per matrix
    with pytest.raises(InputError, match="top_k=9 of experts=8 adapters cannot be used; use at most 8"):
        run("adapter-experts:top_k=9", model="llama-2-7b")


@pytest.mark.parametrize("name", ["expert-top-k:top_k=1.5", "expert-precision", "expert-paging:hit=0.5,prediction=0.5"])
def test_sweeps_equal_single_predictions(name):
    job = ps.Inference(prompt_tokens=64, output_tokens=8, dtype="bf16")
    rates = ["2 TB/s", "4 TB/s"]
    path = "device.memory.hbm.bandwidth"
    swept = ps.sweep("mixtral-8x7b", job, H200, using=[name], batch=[1, 64], vary={path: rates}, metrics=["runtime"])
    for row, batch in zip(swept["runtime"].values.squeeze(), (1, 64), strict=True):
        for runtime, rate in zip(row, rates, strict=True):
            single = ps.predict("mixtral-8x7b", job.replace(batch=batch), H200, using=[name], what_if={path: rate})
            assert runtime == pytest.approx(single.runtime, rel=1e-12)
