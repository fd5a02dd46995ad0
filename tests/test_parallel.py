"""Models spread over devices: what is cut, what is copied, what goes over the links."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfsim as ps
from perfsim.errors import InputError
from perfsim.graph import Role, check
from perfsim.workloads.sharding import shard
from tests.strategies import models, step

A100 = "a100-sxm4-80gb"
DECODE = ps.Decode(context_length=1024, dtype="fp16")


def predict(model, job=DECODE, **options):
    return ps.predict(model, job, on=options.pop("on", A100), **options)


def collectives(graph):
    """Kind and region of every collective of a pass, and how often it runs."""
    found = Counter()
    for op in graph.operators:
        if op.kind in ("all-reduce", "all-gather", "send-receive"):
            found[op.kind, op.region] += graph.count(op)
    return found


@pytest.mark.parametrize(
    ("name", "layers", "per_layer"),
    [
        ("llama-2-7b", 32, 2),  # behind attention and behind the feed-forward block: Megatron-LM
        ("gpt2-xl", 48, 2),
        ("mixtral-8x7b", 32, 2),
        ("bloom-7b1", 30, 2),
        ("falcon-40b", 60, 1),  # parallel branches are added before they are reduced
        ("command-r-35b", 40, 1),
    ],
)
def test_reductions_per_layer(name, layers, per_layer):
    graph = shard(ps.model(name).graph(step(1, 64, decode=True)), 2 if name != "gpt2-xl" else 5, whole_experts=False)
    found = collectives(graph)
    assert found["all-reduce", "layer"] == layers * per_layer
    assert found["all-reduce", ""] == 1  # rows of the embedding are spread
    assert found["all-gather", ""] == 1  # columns of the head


def test_shared_and_routed_experts_are_reduced_together():
    graph = shard(ps.model("deepseek-v3").graph(step(1, 64, decode=True)), 4, whole_experts=False)
    assert collectives(graph)["all-reduce", "moe_layer"] == 2 * 58
    whole = shard(ps.model("deepseek-v3").graph(step(1, 64, decode=True)), 4, whole_experts=True)
    assert collectives(whole) == collectives(graph)  # whole experts leave out rows, cut ones leave partial sums
    assert whole.tensors["moe_layer.moe.gate.weight"].shape == (64, 7168, 2048)
    assert graph.tensors["moe_layer.moe.gate.weight"].shape == (256, 7168, 512)


def test_only_partial_sums_are_reduced():
    graph = shard(ps.model("llama-2-7b").graph(step(4, 4)), 2, whole_experts=False)
    reduced = {op.inputs[0] for op in graph.operators if op.kind == "all-reduce"}
    # never the sum with the residual, which every device holds in full
    assert reduced == {"embedding.out", "layer.attention.output.out", "layer.mlp.down.out"}


def test_bytes_on_the_link_by_hand():
    p = predict("llama-2-7b", count=4)
    (phase,) = p.costs
    h, v = 4096, 32000
    reduced = (2 * 32 + 1) * 2 * 3 / 4 * (1 * h * 2)  # 2(n − 1)/n of one position of 16 bits
    gathered = 3 * (v / 4) * 2
    assert phase.total("link_bytes") == reduced + gathered
    assert phase.total("network") == pytest.approx((reduced + gathered) / 300e9)  # ideal: no latency


def test_weights_and_caches_are_cut():
    alone, four = predict("llama-2-7b"), predict("llama-2-7b", count=4)
    norms = 65 * 4096 * 2
    assert four.memory.weights - norms == (alone.memory.weights - norms) / 4
    assert four.memory.kv_cache == alone.memory.kv_cache / 4
    assert four.memory.capacity == alone.memory.capacity  # per device


def test_few_key_heads_are_copied():
    job = ps.Decode(context_length=1000, dtype="bf16")
    sizes = [predict("llama-3.1-8b", job, count=n).memory.kv_cache for n in (1, 8, 16, 32)]
    one_head = 2 * 1000 * 128 * 2 * 32  # K and V · positions · size · 2 byte · layers
    assert sizes == [8 * one_head, one_head, one_head, one_head]  # 8 heads; more devices hold copies


def test_a_latent_cache_is_not_cut():
    one, four = (predict("deepseek-v2-lite", ps.Decode(dtype="bf16"), count=n).memory.kv_cache for n in (1, 4))
    assert one == four == 27 * 1024 * (512 + 64) * 2


@given(models(), st.sampled_from([2, 4]), st.booleans())
def test_shards_are_legal_and_hold_their_part(model, tensor, decode):
    tokens, context = (1, 20) if decode else (20, 20)
    graph = model.graph(step(tokens, context, batch=2, decode=decode))
    local = check(shard(graph, tensor, whole_experts=False))
    whole, part = graph.footprint(Role.WEIGHT), local.footprint(Role.WEIGHT)
    assert whole / tensor <= part < whole
    logits = local.tensors[local.operators[-1].inputs[0]].shape[-1]
    assert 0 <= logits - model.padded_vocabulary < tensor  # whole again, but for the padding of uneven shards


# pipeline and data parallelism


def test_pipeline_memory_by_hand():
    p = predict("llama-2-7b", count=4, using=[ps.Parallel(pipeline=4)])
    layer = 4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096
    assert p.memory.weights == 2 * (8 * layer + 32000 * 4096 + 4096)  # 8 of 32 layers, head and last norm
    assert p.memory.kv_cache == 8 * 2 * 1024 * 4096 * 2
    uneven = predict("llama-2-7b", count=5, using=[ps.Parallel(pipeline=5)])
    assert uneven.memory.kv_cache == 7 * 2 * 1024 * 4096 * 2  # the fullest stage has 7 layers


def test_stages_run_one_after_another():
    one, four = predict("llama-2-7b"), predict("llama-2-7b", count=4, using=[ps.Parallel(pipeline=4)])
    sent = 3 * 4096 * 2 / 300e9  # three hand-overs of one position
    assert four.runtime == pytest.approx(one.runtime + sent)
    assert four.flops == one.flops
    assert four.mfu == pytest.approx(one.mfu * one.runtime / four.runtime / 4)  # three of four devices wait
    assert one.energy < four.energy < 4 * one.energy  # waiting devices idle


def test_replicas_share_the_batch():
    job = ps.Inference(prompt_tokens=100, output_tokens=10, batch=8, dtype="fp16")
    half = predict("llama-2-7b", job.replace(batch=4))
    two = predict("llama-2-7b", job, count=2, using=[ps.Parallel(data=2)])
    assert two.runtime == half.runtime
    assert two.throughput == 2 * half.throughput == 80 / half.runtime  # 8 sequences of 10 tokens
    assert two.memory.total == half.memory.total
    assert two.energy == pytest.approx(2 * half.energy)
    assert two.flops == 2 * half.flops


def test_the_largest_batch_of_replicas():
    job = ps.Inference(prompt_tokens=2048, output_tokens=256, dtype="bf16")
    one = ps.largest_batch("llama-3.1-8b", job, A100)
    assert ps.largest_batch("llama-3.1-8b", job, A100, count=3, using=[ps.Parallel(data=3)]) == 3 * one


def test_all_three_together():
    p = predict(
        "llama-2-7b", ps.Decode(batch=4, dtype="fp16"), count=8, using=[ps.Parallel(tensor=2, pipeline=2, data=2)]
    )
    assert p.devices == 8
    layer = (4 * 4096**2 + 3 * 4096 * 11008) / 2 + 2 * 4096
    assert p.memory.weights == 2 * (16 * layer + 32000 * 4096 / 2 + 4096)
    assert p.memory.kv_cache == 2 * 16 * 2 * 1024 * 2048 * 2  # 2 sequences, 16 layers, half of the heads


def test_count_means_tensor_parallelism():
    implied, stated = predict("llama-2-7b", count=2), predict("llama-2-7b", count=2, using=[ps.Parallel(tensor=2)])
    assert implied.runtime == stated.runtime
    on_system = ps.predict("llama-2-7b", DECODE, on=ps.system(A100, 2))
    assert on_system.runtime == implied.runtime


# refusals


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "llama-3.1-8b",
            {"count": 3},
            "parallel cannot apply to llama-3.1-8b: 32 attention heads cannot be split over tensor=3; "
            "use a divisor of 32",
        ),
        (
            "llama-3.1-8b",
            {"count": 8, "using": [ps.Parallel(tensor=4)]},
            "parallel layout needs 4 devices (tensor × pipeline × data), the system has count=8; make them equal",
        ),
        (
            "llama-3.1-8b",
            {"count": 64, "using": [ps.Parallel(pipeline=64)]},
            "parallel cannot apply to llama-3.1-8b: 32 layers cannot make pipeline=64 stages",
        ),
        (
            "llama-3.1-8b",
            {"count": 2, "using": [ps.Parallel(tensor=2, expert=2)]},
            "parallel cannot apply to llama-3.1-8b: it has no experts to spread; use expert=1",
        ),
        (
            "mixtral-8x7b",
            {"count": 16, "using": [ps.Parallel(tensor=16, expert=16)]},
            "parallel cannot apply to mixtral-8x7b: 8 experts cannot be spread over expert=16",
        ),
        (
            "mixtral-8x7b",
            {"count": 4, "using": [ps.Parallel(tensor=4, expert=2)]},
            "parallel cannot apply to mixtral-8x7b: expert=2 differs from tensor=4; "
            "experts spread over tensor-parallel devices",
        ),
        (
            "gpt2",
            {"count": 4, "using": [ps.Parallel(tensor=2), ps.Parallel(data=2)]},
            "parallel cannot apply to gpt2: the plan is spread over devices already; state parallel once",
        ),
        ("gpt2", {"count": 2, "on": "apple-m1"}, "device apple-m1 has no link; count=2 needs one. Use count=1"),
    ],
)
def test_refusals(name, options, message):
    with pytest.raises(InputError) as refusal:
        predict(name, ps.Decode(), **options)
    assert str(refusal.value) == message


def test_a_layout_with_nonsense():
    with pytest.raises(InputError) as refusal:
        ps.Parallel(tensor=0)
    assert str(refusal.value) == "parallel: tensor=0: expected 1 to 4096 [1]"


def test_replicas_without_a_share_of_the_batch_do_nothing():
    """One sequence keeps one of four replicas busy; five are dealt out by twos, so three are busy and one waits."""
    job = ps.Prefill(prompt_tokens=128, batch=1)
    one = ps.predict("gpt2", job, "a100-sxm4-80gb")
    four = ps.predict("gpt2", job, ps.system("a100-sxm4-80gb", 4), using=[ps.Parallel(data=4)])
    assert (four.flops, four.traffic) == (one.flops, one.traffic)
    idle = 3 * one.system.device.get("power.idle") * four.runtime
    assert four.energy == pytest.approx(one.energy + idle)
    assert "3 of 4 replicas have nothing to do: a batch of 1 does not fill them" in four.remarks
    five = ps.predict("gpt2", job.replace(batch=5), ps.system("a100-sxm4-80gb", 4), using=[ps.Parallel(data=4)])
    two = ps.predict("gpt2", job.replace(batch=2), "a100-sxm4-80gb")
    assert five.flops == 3 * two.flops
    assert "a batch of 5 does not divide over 4 replicas: work counts each busy one as full" in five.remarks


def test_inference_is_not_cut_into_micro_batches():
    layout = ps.Parallel(pipeline=4, micro_batch=2)
    with pytest.raises(ps.PerfsimError) as refusal:
        ps.predict("gpt2", ps.Prefill(batch=8), ps.system("a100-sxm4-80gb", 4), using=[layout])
    assert str(refusal.value) == (
        "parallel cannot apply to gpt2: inference passes whole batches through the stages of a pipeline, 8 sequences "
        "here; leave out micro_batch=2"
    )
