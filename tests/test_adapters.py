"""Adapters beside frozen weights: their weights, their work, and what a batch of several tasks reads."""

import numpy as np
import pytest

import perfsim as ps
from perfsim.errors import InputError
from perfsim.techniques.adapters.resident import used_adapters

ON = ps.device("a100-sxm4-80gb")
HIDDEN, FFN, LAYERS, BYTES = 4096, 11008, 32, 2
SIDES = 4 * (HIDDEN + HIDDEN) + 3 * (HIDDEN + FFN)  # rows + columns of all matrices of a layer of llama-2-7b


def run(*using, model="llama-2-7b", **job):
    return ps.predict(model, ps.Decode(context_length=512, dtype="fp16", **job), on=ON, using=using)


def test_low_rank_pairs_hold_rank_times_rows_and_columns():
    plain, adapted = run(), run("low-rank-adapters:rank=16")
    weights = 16 * SIDES * LAYERS
    assert adapted.memory.weights - plain.memory.weights == weights * BYTES
    additions = LAYERS * (5 * HIDDEN + 2 * FFN)
    assert adapted.flops - plain.flops == pytest.approx(2 * weights + additions)


def test_only_the_chosen_part_is_adapted():
    plain = run().memory.weights
    attention = run("low-rank-adapters:rank=8,part=attention").memory.weights - plain
    assert attention == 8 * 4 * 2 * HIDDEN * LAYERS * BYTES
    feed_forward = run("low-rank-adapters:rank=8,part=ffn").memory.weights - plain
    assert attention + feed_forward == run("low-rank-adapters:rank=8").memory.weights - plain


def test_all_resident_adapters_are_stored_and_the_used_ones_read():
    one, many = (run(f"low-rank-adapters:rank=16,adapters={n}", batch=4) for n in (1, 64))
    pair = 16 * SIDES * LAYERS * BYTES
    assert many.memory.weights - one.memory.weights == 63 * pair
    assert many.flops == one.flops
    used = 64 * (1 - (63 / 64) ** 4)
    assert many.traffic - one.traffic == pytest.approx((used - 1) * pair)


def test_used_adapters_equal_a_simulation():
    draws = np.random.default_rng(1).integers(0, 32, (20_000, 24))
    counts = np.array([len(set(row)) for row in draws])
    error = 4 * counts.std() / np.sqrt(len(counts))
    assert used_adapters(adapters=32, sequences=24) == pytest.approx(counts.mean(), abs=error)
    assert used_adapters(adapters=1, sequences=24) == 1
    assert used_adapters(adapters=32, sequences=1) == pytest.approx(1)


def test_bottlenecks_hang_on_the_two_products_that_close_blocks():
    plain, adapted = run(), run("bottleneck-adapters:width=64")
    weights = 2 * 2 * HIDDEN * 64 * LAYERS
    assert adapted.memory.weights - plain.memory.weights == weights * BYTES
    assert adapted.flops - plain.flops == pytest.approx(2 * weights + LAYERS * 2 * (64 + HIDDEN))
    behind_ffn = run("bottleneck-adapters:width=64,part=ffn")
    assert behind_ffn.memory.weights - plain.memory.weights == weights * BYTES / 2


@pytest.mark.parametrize("model", ["vit-base-16", "swin-tiny", "bert-base"])
@pytest.mark.parametrize("name", ["low-rank-adapters", "bottleneck-adapters", "elementwise-adapters"])
def test_encoders_can_be_adapted(model, name):
    job = ps.SinglePass(batch=2, dtype="fp16")
    plain, adapted = (ps.predict(model, job, on=ON, using=using) for using in ([], [name]))
    assert adapted.memory.weights > plain.memory.weights
    assert adapted.flops > plain.flops
    assert adapted.runtime >= plain.runtime


def test_rotations_cost_three_operations_per_output():
    plain, adapted = run(batch=8), run("elementwise-adapters:vectors=2", batch=8)
    outputs = LAYERS * (5 * HIDDEN + 2 * FFN)
    assert adapted.memory.weights - plain.memory.weights == 2 * outputs * BYTES
    assert adapted.flops - plain.flops == pytest.approx(3 * outputs * 8)


def test_vectors_of_many_tasks_cost_less_than_their_low_rank_pairs():
    both = {"low-rank-adapters:rank=16,adapters=64": 0.0, "elementwise-adapters:adapters=64": 0.0}
    for using in both:
        both[using] = ps.predict(
            "llama-2-7b", ps.Decode(context_length=512, batch=32, dtype="fp16"), on=ON, stack="vllm", using=[using]
        ).tpot
    low_rank, rotated = both.values()
    assert rotated < low_rank


def test_adapters_behind_a_quantisation_stay_wide_and_in_front_of_it_shrink():
    plain = run("weight-quantization:bits=4").memory.weights
    behind = run("weight-quantization:bits=4", "low-rank-adapters:rank=16").memory.weights - plain
    front = run("low-rank-adapters:rank=16", "weight-quantization:bits=4").memory.weights - plain
    assert behind == 16 * SIDES * LAYERS * BYTES
    assert front == pytest.approx(behind * (4 + 20 / 128) / 16)


@pytest.mark.parametrize("name", ["low-rank-adapters", "bottleneck-adapters", "elementwise-adapters"])
def test_adapters_can_be_stacked(name):
    one, two = run(name), run(name, name)
    plain = run()
    assert two.memory.weights - plain.memory.weights == 2 * (one.memory.weights - plain.memory.weights)


@pytest.mark.parametrize(
    "using", ["low-rank-adapters:rank=0", "bottleneck-adapters:width=0", "elementwise-adapters:vectors=0"]
)
def test_adapters_without_weights_change_nothing(using):
    assert run(using, batch=4).runtime == run(batch=4).runtime


def test_several_devices_are_refused():
    with pytest.raises(InputError) as refusal:
        ps.predict("llama-2-7b", ps.Decode(), on=ON, count=2, using=["parallel:tensor=2", "low-rank-adapters"])
    assert str(refusal.value) == (
        "low-rank-adapters cannot apply to llama-2-7b: the adapters are not spread over devices; use count=1"
    )


def test_an_adapter_per_sequence_reads_up_to_all_of_them():
    read = [
        run("low-rank-adapters:adapters=8", batch=b).traffic - run("low-rank-adapters", batch=b).traffic
        for b in (1, 4, 999)
    ]
    assert read[0] == pytest.approx(0, abs=1)
    assert read[0] < read[1] < read[2]
    assert read[2] == pytest.approx(7 * 16 * SIDES * LAYERS * BYTES)


def test_a_sweep_over_batches_agrees_with_single_predictions():
    using = "low-rank-adapters:adapters=8"
    swept = ps.sweep("llama-2-7b", ps.Decode(context_length=512, dtype="fp16"), ON, using=[[using]], batch=[1, 4, 16])
    for batch, tpot in zip((1, 4, 16), swept.tpot.values.ravel(), strict=True):
        assert tpot == pytest.approx(run(using, batch=batch).tpot)
