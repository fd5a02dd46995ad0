"""Dynamic depth, cascades and adaptive inference: expectations against simulated decisions, memory, refusals."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfsim as ps
from perfsim.errors import InputError
from perfsim.prediction.adaptive import cascade_paths, of_shares, of_trace, pipeline_rate, read_trace, share_front
from perfsim.techniques.depth.early_exit import deepest_of_batch
from perfsim.techniques.depth.layer_skipping import spread
from perfsim.techniques.depth.model_cascade import expected_cascade, trace_share
from perfsim.techniques.depth.model_switching import called_share

CARD = "h100-sxm5-80gb"
FRAME = ps.SinglePass(dtype="int8")


def drone(using=(), model="frontnet-160x32"):
    return ps.predict(model, FRAME, on="gap8", stack="dory", using=list(using))


def chat(batch=1):
    return ps.Inference(prompt_tokens=128, output_tokens=32, batch=batch, dtype="fp16")


@pytest.mark.parametrize("mode", ["select", "escalate"])
def test_a_cascade_costs_the_share_weighted_sum(mode):
    small, big = drone(model="frontnet-80x32"), drone()
    p = drone([f"model-cascade:small=frontnet-80x32,share=0.3,auxiliary=0.1,mode={mode}"])
    for metric in ("runtime", "energy", "flops"):
        low, high = (getattr(each, metric) for each in (small, big))
        expected = expected_cascade(small=low, big=high, share=0.3, auxiliary=0.1 * low, escalate=mode == "escalate")
        assert getattr(p, metric) == pytest.approx(expected)


def test_networks_lie_side_by_side_or_are_swapped():
    small, big = drone(model="frontnet-80x32"), drone()
    both = drone(["model-cascade:small=frontnet-80x32,share=0.5,mode=select"])
    swapped = drone(["model-cascade:small=frontnet-80x32,share=0.5,mode=select,memory=swapped,load=1e7,run=5"])
    assert both.memory.weights == small.memory.weights + big.memory.weights
    assert swapped.memory.weights == max(small.memory.weights, big.memory.weights)
    # 0.5 / 5 changes per frame to each of the two, every one loads all weights of the next at 10 MB/s
    loading = 0.1 * (small.memory.weights + big.memory.weights) / 1e7
    assert swapped.runtime == pytest.approx(both.runtime + loading)


def test_a_trace_of_decisions_is_its_share():
    assert trace_share("sbbs") == 0.5
    traced, shared = (
        drone([f"model-cascade:small=frontnet-80x32,mode=select,{x}"]) for x in ("trace=sbbs", "share=0.5")
    )
    assert traced.runtime == shared.runtime
    with pytest.raises(InputError) as refusal:
        trace_share("sbx")
    assert str(refusal.value) == 'a trace is "sbx", expected letters s (small) and b (big), one per input'


def test_28_percent_follow_from_the_share():
    """A saving of 28 % by selection needs (1 - f)(1 - small/big) = 0.28; the prediction gives it at that share."""
    small, big = drone(model="frontnet-80x32").runtime, drone().runtime
    share = 1 - 0.28 / (1 - small / big)
    p = drone([f"model-cascade:small=frontnet-80x32,mode=select,share={share!r}"])
    assert 0 < share < 1
    assert 1 - p.runtime / big == pytest.approx(0.28)


@given(st.floats(0.001, 1), st.floats(1, 10), st.floats(0.01, 0.99), st.floats(0, 0.5), st.booleans())
def test_expected_cost_is_the_mean_of_the_distribution(small, factor, share, auxiliary, escalate):
    big = small * factor
    paths = cascade_paths(small=small, big=big, auxiliary=auxiliary, escalate=escalate)
    law = of_shares(paths, {"small": 1 - share, "big": share})
    expected = expected_cascade(small=small, big=big, share=share, auxiliary=auxiliary, escalate=escalate)
    assert law.mean == pytest.approx(expected)
    assert law.quantile(1) == pytest.approx(max(paths.values()))


@given(st.integers(0, 10**6), st.floats(0.05, 0.95))
def test_shares_agree_with_a_simulated_trace(seed, share):
    rng, count = random.Random(seed), 4000
    trace = ["big" if rng.random() < share else "small" for _ in range(count)]
    costs = {"small": 1.0, "big": 3.0}
    expected, seen = of_shares(costs, {"small": 1 - share, "big": share}), of_trace(costs, trace)
    assert abs(seen.mean - expected.mean) <= 5 * expected.deviation / math.sqrt(count)
    assert seen.quantile(0.0) == 1.0
    assert seen.quantile(1.0) == 3.0


def test_a_change_of_network_costs_once_per_change():
    law = of_trace({"s": 1.0, "b": 2.0}, ["s", "b", "b", "s"], change=0.5)
    assert law.points == ((1.0, 0.25), (1.5, 0.25), (2.0, 0.25), (2.5, 0.25))
    assert law.mean == pytest.approx(7 / 4)


def test_a_trace_is_read_from_a_file(tmp_path):
    path = tmp_path / "decisions.csv"
    path.write_text("small,big\nsmall\n")
    assert read_trace(str(path)) == ("small", "big", "small")
    path.write_text("\n")
    with pytest.raises(InputError, match="holds no decisions"):
        read_trace(str(path))


def test_the_front_runs_from_the_small_to_the_big_network():
    small, big = drone(model="frontnet-80x32"), drone()
    front = share_front(small=small, big=big, shares=(1.0, 0.0, 0.5))
    assert [row["share"] for row in front] == [0.0, 0.5, 1.0]
    assert front[0]["runtime"] == pytest.approx(small.runtime)
    assert front[2]["energy"] == pytest.approx(big.energy)
    assert front[1]["runtime"] == pytest.approx((small.runtime + big.runtime) / 2)


def test_shares_that_do_not_add_up_are_refused():
    with pytest.raises(InputError) as refusal:
        of_shares({"a": 1.0, "b": 2.0}, {"a": 0.5, "b": 0.6})
    assert str(refusal.value) == "shares {'a': 0.5, 'b': 0.6}: expected numbers of at least 0 that add up to 1"


def test_the_slowest_stage_sets_the_rate():
    assert pipeline_rate({"decode": 0.004, "infer": 0.001}) == ("decode", 250.0)
    assert pipeline_rate({"decode": 0.004, "infer": 0.001}, {"decode": 8}) == ("infer", 1000.0)


def test_the_deepest_exit_of_a_batch_equals_a_simulation():
    shares, batch, count, rng = (0.3, 0.5, 0.2), 3, 20_000, random.Random(3)
    drawn = [max(rng.choices(range(3), shares, k=batch)) for _ in range(count)]
    for index, share in enumerate(deepest_of_batch(shares=shares, batch=batch)):
        assert abs(drawn.count(index) / count - share) <= 4 * math.sqrt(share * (1 - share) / count)


def test_exits_in_a_decoder_keep_weights_and_cache():
    plain = ps.predict("llama-2-7b", chat(), on=CARD)
    gains = {}
    for cache in ("filled", "none"):
        p = ps.predict("llama-2-7b", chat(), on=CARD, using=[f"early-exit:exits=8/16,shares=0.3/0.3,cache={cache}"])
        assert p.memory.weights == plain.memory.weights
        assert p.memory.kv_cache == plain.memory.kv_cache
        gains[cache] = plain.tpot / p.tpot
    mean_depth = (0.3 * 8 + 0.3 * 16 + 0.4 * 32) / 32  # 0.625: a bound on what the layers give
    assert 1 < gains["filled"] < gains["none"] < 1 / mean_depth


def test_exits_of_a_batch_wait_for_the_slowest():
    def gain(batch):
        using = ["early-exit:exits=8/16,shares=0.3/0.3"]
        return (
            ps.predict("llama-2-7b", chat(batch), on=CARD).tpot
            / ps.predict("llama-2-7b", chat(batch), on=CARD, using=using).tpot
        )

    assert gain(1) > gain(4) > gain(32)
    assert gain(32) < 1  # the heads that were tried are all that is left


def test_exit_heads_of_their_own_are_stored():
    job = ps.SinglePass(dtype="fp16")
    using = ["early-exit:exits=4/8,shares=0.3/0.3,heads=own"]
    plain, p = (ps.predict("vit-base-16", job, on=CARD, using=u) for u in ([], using))
    head = 768 * 1000 + 1000 + 2 * 768  # classifier and the norm in front of it
    assert p.memory.weights - plain.memory.weights == 2 * 2 * head


def test_no_input_that_leaves_early_leaves_only_the_heads():
    using = ["early-exit:exits=8,shares=0"]
    plain, p = (ps.predict("llama-2-7b", chat(), on=CARD, using=u) for u in ([], using))
    assert p.phase("decode/exit-8").repeat == 0
    assert plain.runtime < p.runtime < 1.05 * plain.runtime


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.floats(0.01, 1))
def test_layers_are_spread_evenly(counts, keep):
    regions = {str(i): n for i, n in enumerate(counts)}
    kept = spread(counts=regions, keep=keep)
    assert sum(kept.values()) == max(1, round(keep * sum(counts)))
    assert all(0 <= kept[name] <= count for name, count in regions.items())


def test_half_of_the_layers_keep_embedding_and_head():
    plain, p = (ps.predict("llama-2-7b", chat(), on=CARD, using=u) for u in ([], ["layer-skipping:keep=0.5"]))
    assert p.memory.kv_cache == plain.memory.kv_cache / 2
    ends = 2 * 2 * 32000 * 4096 + 2 * 4096
    assert p.memory.weights - ends == (plain.memory.weights - ends) / 2
    assert 1.8 < plain.tpot / p.tpot < 2


def test_routed_tokens_call_the_large_model():
    p = ps.predict("qwen2.5-7b", chat(), on=CARD, using=["model-routing:small=qwen2.5-0.5b,share=0.2,router=5e7"])
    assert p.phase("decode/small").repeat == pytest.approx(31)
    assert p.phase("decode/big").repeat == pytest.approx(31 * 0.2)
    assert called_share(share=0.2, batch=2) == pytest.approx(0.36)


def test_switching_reads_what_was_missed():
    using = "model-switching:small=qwen2.5-0.5b,share=0.25,region=10"
    p = ps.predict("qwen2.5-7b", chat(), on=CARD, using=[using])
    free = ps.predict("qwen2.5-7b", chat(), on=CARD, using=[using + ",catch_up=none"])
    assert p.phase("decode/big-reads").repeat == pytest.approx(31 * 0.25 / 10)
    # in the end each model computes every token once, so that nothing is saved in operations, but much in bytes;
    # tokens that are only read need no logits
    whole = [ps.predict(name, chat(), on=CARD) for name in ("qwen2.5-7b", "qwen2.5-0.5b")]
    decoded = sum(c.flops for c in p.costs if c.phase.stage == "decode")
    assert decoded == pytest.approx(sum(each.phase("decode").flops for each in whole), rel=0.1)
    assert p.phase("decode/big").traffic < 0.3 * whole[0].phase("decode").traffic
    assert p.tpot > free.tpot


@pytest.mark.parametrize(
    ("model", "using", "reason"),
    [
        ("resnet50", "early-exit:exits=2,shares=0.5",
         "its layers change the shape of the features; the end fits behind the last one only"),
        ("vit-base-16", "early-exit:exits=12,shares=0.5",
         "exits=12, but it has 12 layers; exits lie before the last one"),
        ("vit-base-16", "model-cascade:small=llama-2-7b", "llama-2-7b is a language model with another job"),
        ("alexnet", "feature-reuse:interval=2", "its layers are not repeated"),
    ],
)  # fmt: skip
def test_refusals(model, using, reason):
    with pytest.raises(InputError) as refusal:
        ps.predict(model, ps.SinglePass(dtype="fp16"), on=CARD, using=[using])
    assert str(refusal.value) == f"{using.partition(':')[0]} cannot apply to {model}: {reason}"


@pytest.mark.parametrize("settings", ["exits=8,shares=0.5/0.2", "exits=8/4,shares=0.1/0.1", "exits=4/8,shares=0.9/0.2"])
def test_malformed_exits_are_refused(settings):
    with pytest.raises(InputError, match="early-exit: "):
        ps.predict("vit-base-16", ps.SinglePass(), on=CARD, using=[f"early-exit:{settings}"])
