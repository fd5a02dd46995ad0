"""Sparsity, low rank and narrow formats: bytes and operations that a reader can count."""

import pytest

import perfsim as ps
from perfsim.errors import InputError
from perfsim.techniques.factorization.low_rank import rank_of
from perfsim.techniques.sparsity.semi_structured import index_bits

H100 = "h100-sxm5-80gb"
PROMPT = ps.Prefill(prompt_tokens=4096, batch=4, dtype="bf16")
STEP = ps.Decode(context_length=512, batch=1, dtype="bf16")


def run(job, *using, on=H100, stack="ideal", model="llama-2-7b"):
    return ps.predict(model, job, on, stack=stack, using=using)


def layer_weights(model="llama-2-7b"):
    """Parameters of the matrices inside the layers: four of attention, three of the feed-forward network."""
    hidden, inner, layers = 4096, 11008, 32
    return layers * (4 * hidden * hidden + 3 * hidden * inner)


def test_two_of_four_stores_half_the_values_and_two_bits_for_each():
    assert index_bits(kept=2, block=4) == 1.0  # 2 kept × 2 bits / 4 weights
    dense, sparse = run(STEP), run(STEP, "semi-structured-sparsity")
    saved = dense.memory.weights - sparse.memory.weights
    assert saved == layer_weights() * (16 - 9) / 8  # 16 bits become 16/2 + 1


def test_two_of_four_doubles_compute_bound_products_on_a_sparse_unit_only():
    gain = run(PROMPT).runtime / run(PROMPT, "semi-structured-sparsity").runtime
    assert 1.7 < gain < 2.0  # all but attention and the head runs at twice the rate
    plain = "v100-sxm2-32gb"
    job = PROMPT.replace(dtype="fp16")
    without = run(job, on=plain).runtime / run(job, "semi-structured-sparsity", on=plain).runtime
    assert without == pytest.approx(1, rel=0.02)  # no sparse unit: the bytes alone help a compute-bound prompt little


def test_other_patterns_gain_no_arithmetic():
    dense, sparse = run(PROMPT), run(PROMPT, "semi-structured-sparsity:kept=4,block=8")
    assert sparse.runtime == pytest.approx(dense.runtime, rel=0.01)


def test_more_kept_than_there_are_is_refused():
    with pytest.raises(InputError, match="kept=4 of block=2 weights cannot stay; use kept of at most 2"):
        run(STEP, "semi-structured-sparsity:kept=4,block=2")


def test_a_bitmap_costs_one_bit_per_dense_weight():
    dense, sparse = run(STEP), run(STEP, "unstructured-sparsity:density=0.25,index=bitmap")
    assert dense.memory.weights - sparse.memory.weights == layer_weights() * (16 - (4 + 1)) / 8


def test_a_slow_sparse_kernel_is_never_slower_than_unpacking():
    dense = run(PROMPT)
    slow = run(PROMPT, "unstructured-sparsity:density=0.9,index=bitmap,efficiency=0.1")
    assert slow.runtime <= dense.runtime * 1.001
    fast = run(PROMPT, "unstructured-sparsity:density=0.1,index=bitmap,efficiency=1")
    assert fast.runtime < dense.runtime / 4


def test_a_factorized_matrix_keeps_the_share_of_parameters():
    assert rank_of(rows=4096, columns=4096, ratio=0.5) == 1024  # 1024 × 8192 = half of 4096²
    dense, low = run(STEP), run(STEP, "low-rank:ratio=0.5")
    kept = 1 - (dense.memory.weights - low.memory.weights) / (layer_weights() * 2)
    assert kept == pytest.approx(0.5, abs=2e-4)  # ranks are whole numbers
    assert low.tpot < dense.tpot


def test_a_rank_that_saves_nothing_changes_nothing():
    dense, low = run(STEP), run(STEP, "low-rank:rank=4096")
    assert low.memory.weights == dense.memory.weights
    assert low.runtime == dense.runtime


def test_low_rank_works_over_devices():
    two = ps.predict("llama-2-7b", STEP, H100, count=2, using=["low-rank:ratio=0.5"])
    one = run(STEP, "low-rank:ratio=0.5")
    assert one.memory.weights / 2 < two.memory.weights < 0.8 * one.memory.weights  # the replicated factors are small


def test_weight_only_wins_alone_and_loses_in_a_crowd():
    """The known crossover: bytes rule one sequence, arithmetic rules hundreds."""

    def step(batch, technique):
        job = STEP.replace(batch=batch)
        return run(job, technique, on="a100-sxm4-80gb", stack="vllm", model="llama-3.1-8b").runtime

    w4a16, w8a8 = "weight-quantization:bits=4", "weight-activation-quantization:format=int8"
    assert step(1, w4a16) < step(1, w8a8)
    assert step(512, w4a16) > step(512, w8a8)


def test_a_format_that_the_device_lacks_is_refused():
    with pytest.raises(InputError) as refusal:
        run(STEP.replace(dtype="fp16"), "weight-activation-quantization:format=fp8_e4m3", on="v100-sxm2-32gb")
    assert "v100-sxm2-32gb multiplies no matrices in fp8_e4m3; it computes in" in str(refusal.value)


def test_convolutions_are_products_too():
    dense = ps.predict("resnet50", ps.SinglePass(batch=1, dtype="fp16"), H100)
    sparse = ps.predict("resnet50", ps.SinglePass(batch=1, dtype="fp16"), H100, using=["semi-structured-sparsity"])
    stays = 7 * 7 * 3 * 64 + 2048 * 1000  # the first convolution and the classifier lie outside of the repeated blocks
    inside = 25_557_032 - stays
    expected = (stays + inside * 9 / 16) / 25_557_032
    assert sparse.memory.weights / dense.memory.weights == pytest.approx(expected, rel=0.002)  # biases stay
