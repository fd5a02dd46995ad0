"""Techniques on tokens: counts by hand, published operation counts, crossovers, neutral parameters, refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfsim as ps
from perfsim.errors import InputError
from perfsim.graph import Unit, check
from perfsim.ops.tokens import ReduceTokens
from perfsim.techniques.registry import parse_technique, technique_classes
from perfsim.techniques.tokens.decoder_to_encoder import layer_parameters
from perfsim.techniques.tokens.layers import layer_values, numbers_of
from perfsim.techniques.tokens.merging import TokenMerging
from perfsim.techniques.tokens.pruning import TokenPruning

A100 = "a100-sxm4-80gb"
LAYERS, ENTRY = 32, 2 * 32 * 128 * 2  # llama-2-7b: layers; keys and values of a position in one of them [byte]
JOB = ps.Inference(prompt_tokens=1024, output_tokens=17, batch=2, dtype="bf16")
IMAGES = ps.SinglePass(batch=64, dtype="fp16")


def run(*using, job=JOB, model="llama-2-7b", stack="ideal", on=A100):
    return ps.predict(model, job, on, stack=stack, using=using)


def see(*using, model="deit-small", job=IMAGES, stack="ideal"):
    return run(*using, job=job, model=model, stack=stack)


def products(prediction):
    """Multiply-accumulates of one image."""
    return sum(cost.total("matrix_flops") for cost in prediction.costs) / 2 / prediction.job.batch


def lengths(prediction):
    """Tokens in front of the layers, and behind every reduction."""
    graph = prediction.costs[0].graph
    made = [op for op in graph.operators if isinstance(op, ReduceTokens)]
    return [graph.tensors[made[0].inputs[0]].shape[1], *(graph.tensors[op.outputs[0]].shape[1] for op in made)]


# Lists by layer


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.integers(1, 40))
def test_layers_are_divided_evenly(values, layers):
    spread = layer_values(values, layers)
    assert len(spread) == layers
    counts = [sum(1 for layer in range(layers) if layer * len(values) // layers == part) for part in range(len(values))]
    assert max(counts) - min(counts) <= 1


def test_lists_are_checked():
    assert numbers_of("0.5+0.25", "x", 0, 1) == (0.5, 0.25)
    with pytest.raises(InputError) as refusal:
        numbers_of("0.5+2", "token-pruning: at", 0, 1)
    expected = 'token-pruning: at="0.5+2": expected numbers from 0 to 1 joined by "+", e.g. 0.5+0.25'
    assert str(refusal.value) == expected


# Pruning and merging


def test_merging_takes_tokens_layer_by_layer():
    assert lengths(see("token-merging:merged=13")) == [197 - 13 * layer for layer in range(12)]


def test_no_more_than_half_of_the_tokens_can_merge():
    assert lengths(see("token-merging:merged=100"))[:4] == [197, 99, 50, 26]  # 98, 49, 24 of those but the class token


def test_pruning_keeps_a_share_of_the_free_tokens():
    free = [196, 196 * 0.7, 196 * 0.49, 196 * 0.343]
    expected = [197, 139, 98, 69]  # 1 + 137.2, 1 + 96.04, 1 + 67.2, rounded up
    assert lengths(see("token-pruning:keep=0.7")) == expected
    assert all(1 + f <= tokens < 2 + f for f, tokens in zip(free, expected, strict=True))


# Operations of DeiT-S with published schedules [multiply-accumulates]; tolerances: figures are rounded to 0.1e9 (2 %),
# DynamicViT prunes by rounding down, ToMe merges half a layer earlier (in the middle of a layer) than is modelled here
PUBLISHED = [
    ("token-pruning:keep=0.7,score=predictor", 2.9e9, 0.05),  # arXiv 2106.02034, table 1: DynamicViT-DeiT-S / 0.7
    ("token-pruning:keep=0.7,score=class-attention", 3.0e9, 0.05),  # arXiv 2202.07800, table 1: EViT-DeiT-S, 0.7
    ("token-merging:merged=13", 2.7e9, 0.08),  # arXiv 2210.09461, table 4: ToMe DeiT-S, r = 13
]


@pytest.mark.parametrize(("technique", "published", "tolerance"), PUBLISHED)
def test_published_operation_counts(technique, published, tolerance):
    assert products(see(technique)) == pytest.approx(published, rel=tolerance)


def test_a_predictor_by_hand():
    by_class, by_predictor = (see(f"token-pruning:keep=0.7,score={s}") for s in ("none", "predictor"))
    seen = 197 + 139 + 98  # tokens in front of the three cuts
    assert products(by_predictor) - products(by_class) == pytest.approx(seen * 1.625 * 384**2)
    assert by_predictor.memory.weights - by_class.memory.weights == 3 * 1.625 * 384**2 * 2


def test_fewer_operations_are_no_time_where_the_host_rules():
    small, large = ps.SinglePass(batch=1, dtype="fp16"), ps.SinglePass(batch=512, dtype="fp16")

    def gain(job):
        pruned = see("token-pruning:keep=0.7", job=job, stack="pytorch-eager")
        return see(job=job, stack="pytorch-eager").runtime / pruned.runtime

    assert gain(small) < 1  # more kernels to launch
    assert gain(large) > 1.3


def test_matching_is_what_merging_costs():
    free, dear = see("token-merging:merged=8,metric=0"), see("token-merging:merged=8,metric=1,criteria=2")
    pairs = sum(-(-n // 2) * (n // 2) for n in range(197, 197 - 8 * 11, -8))
    assert products(dear) - products(free) == pairs * 2 * 384


def test_tokens_of_a_prompt_leave_the_cache_too():
    p = run("token-pruning:keep=0.5,at=0.25,fixed=24,prunable=0.8")
    kept = 24 + 1000 * (1 - 0.8 * 0.5)
    entries = 8 * (1024 + 16) + 24 * (kept + 16)
    assert p.memory.kv_cache == entries * ENTRY * 2
    assert p.tpot < run().tpot
    assert p.ttft < run().ttft


def test_all_tokens_are_back_for_a_decoder():
    detector = ps.SinglePass(batch=1, dtype="fp16")
    dense, fewer = (
        see(*using, model="detr-resnet50", job=detector)
        for using in ([], ["token-pruning:keep=0.3,at=0,score=none,fixed=0,restore=1"])
    )

    def work(prediction, region):
        graph = prediction.costs[0].graph
        chosen = (op for op in graph.operators if op.region == region and op.unit is Unit.TENSOR)
        return sum(op.work(graph.tensors).flops * graph.count(op) for op in chosen)

    assert work(fewer, "decoder") == work(dense, "decoder")
    assert 0.2 < work(fewer, "encoder") / work(dense, "encoder") < 0.3  # attention falls with the square


@given(st.floats(0, 1), st.sampled_from(["none", "pairwise", "predictor"]), st.integers(0, 40))
def test_rewritten_graphs_are_legal_and_monotone(keep, score, merged):
    plain = see(job=ps.SinglePass(batch=1, dtype="fp16"), model="deit-tiny")
    for technique in (TokenPruning(keep=keep, score=score), TokenMerging(merged=merged)):
        p = see(technique, job=ps.SinglePass(batch=1, dtype="fp16"), model="deit-tiny")
        check(p.costs[0].graph)
        assert min(p.memory.weights, p.memory.activations) >= 0
        if score == "none":
            assert products(p) <= products(plain) * 1.1  # matching may cost up to a tenth, and merges nothing


def test_frames_become_clips():
    frames = ps.SinglePass(batch=12, dtype="fp16")
    p = see("temporal-merging:joined=2,keep=0.5,at=0.5", model="vit-base-32-clip", job=frames)
    graph = p.costs[0].graph
    (reduce,) = (op for op in graph.operators if isinstance(op, ReduceTokens))
    assert graph.tensors[reduce.inputs[0]].shape == (12, 50, 768)
    assert graph.tensors[reduce.outputs[0]].shape == (6, 50, 768)  # half of the tokens of two frames
    dense = see(model="vit-base-32-clip", job=frames)
    assert 0.7 < p.flops / dense.flops < 0.8  # the second half of the layers sees half of the tokens


def test_tokens_pass_by_half_of_the_layers():
    p = see("mixture-of-depths:share=0.5,layers=0.5")
    assert lengths(p) == [197, 99]  # one region stands for all routed layers
    router = 6 * 197 * 384
    layer = products(see()) - products(see("mixture-of-depths:share=0.0001,layers=1"))  # all but one token
    assert products(see()) - products(p) + router == pytest.approx(layer / 4, rel=0.1)  # attention is not linear
    prompt = run("mixture-of-depths:share=0.25,layers=0.5")
    assert prompt.memory.kv_cache == (16 * (1024 + 16) + 16 * (256 + 16)) * ENTRY * 2


# Prompts


def test_what_a_model_sees_by_hand():
    p = run("visual-tokens:tokens=576")
    assert [row.name for row in p.phases] == ["prefill/encoder", "prefill/projection", "prefill", "decode"]
    seeing = see(model="vit-large-14-clip", job=ps.SinglePass(batch=2, dtype="bf16"))
    longer = run(job=JOB.replace(prompt_tokens=1600))
    bridge = p.phases[1].runtime
    assert p.ttft == pytest.approx(seeing.runtime + bridge + longer.ttft)
    assert p.tpot == longer.tpot
    assert p.memory.kv_cache - run().memory.kv_cache == 576 * ENTRY * LAYERS * 2
    assert p.memory.weights == longer.memory.weights + seeing.memory.weights + (1024 + 4096) * 4096 * 2


def test_one_visual_token_saves_the_prompt_and_not_the_decode():
    """Equal operations are not equal latency: decode reads all weights, however few tokens there are."""
    short = JOB.replace(prompt_tokens=640, batch=1)
    many, one = run(job=short), run("visual-token-compression:present=576,tokens=1", job=short)
    assert one.ttft == run(job=short.replace(prompt_tokens=65)).ttft
    assert many.flops / one.flops > 5
    assert many.tpot / one.tpot < 1.1


def test_a_matcher_is_paid_for():
    free = run("visual-token-compression:present=576,tokens=64")
    paid = run("visual-token-compression:present=576,tokens=64,matcher=vit-base-16-clip,images=8")
    tower = see(model="vit-base-16-clip", job=ps.SinglePass(batch=16, dtype="bf16"))
    assert paid.ttft - free.ttft == pytest.approx(tower.runtime)
    assert paid.memory.weights - free.memory.weights == tower.memory.weights


def test_virtual_tokens_are_tokens():
    longer = run(job=JOB.replace(prompt_tokens=1124))
    soft = run("soft-prompt:tokens=100")
    assert (soft.ttft, soft.tpot, soft.memory.total) == (longer.ttft, longer.tpot, longer.memory.total)


def test_a_compressed_prompt_and_its_compressor():
    shorter, chooser = run(job=JOB.replace(prompt_tokens=256)), ps.Prefill(prompt_tokens=1024, batch=2, dtype="bf16")
    p = run("prompt-compression:keep=0.25,compressor=gpt2")
    reading = run(job=chooser, model="gpt2")
    assert p.ttft == pytest.approx(shorter.ttft + reading.runtime)
    assert p.memory.weights == shorter.memory.weights + reading.memory.weights
    assert run("prompt-compression:keep=0.9,compressor=llama-2-7b").ttft > run().ttft  # too dear a compressor


def test_chunks_make_reading_linear():
    technique = "chunked-reading:chunk=1000,memory=500,edit=100"
    one, two, four = (run(technique, job=JOB.replace(prompt_tokens=n)) for n in (8000, 16000, 32000))
    assert four.ttft - two.ttft == pytest.approx(2 * (two.ttft - one.ttft))
    assert one.memory.kv_cache == four.memory.kv_cache
    assert one.memory.kv_cache == (500 + 1000 + 50.5) * ENTRY * LAYERS * 2  # memory, chunk, and half of an edit
    assert run("chunked-reading:chunk=1000,reuse=1").ttft < run("chunked-reading:chunk=1000").ttft


def test_shorter_answers_save_steps():
    p = run("shorter-output:keep=0.5", job=JOB.replace(output_tokens=201))
    half = run(job=JOB.replace(output_tokens=101))
    assert p.runtime == half.runtime
    assert p.memory.kv_cache == half.memory.kv_cache


# Two networks at once


def test_every_expert_runs_at_every_token():
    p = run("logits-fusion:expert=tinyllama-1.1b,experts=2,iterations=0")
    small = run(model="tinyllama-1.1b")
    assert p.runtime == pytest.approx(run().runtime + 2 * small.runtime)
    assert p.memory.weights == run().memory.weights + 2 * small.memory.weights
    assert p.memory.kv_cache == run().memory.kv_cache + 2 * small.memory.kv_cache
    assert run("logits-fusion:expert=tinyllama-1.1b,experts=2,iterations=50").runtime > p.runtime


def test_layers_move_with_their_parameters():
    model = ps.model("whisper-large-v3")
    given_up = layer_parameters(stack=model.decoder, hidden=1280, across=True)
    assert given_up == 8 * 1280**2 + 2 * 1280 * 5120
    job = ps.Inference(prompt_tokens=1500, output_tokens=100, batch=8, dtype="fp16")
    deep, flat = (run(*u, job=job, model="whisper-large-v3") for u in ([], ["decoder-to-encoder:decoder=8"]))
    assert flat.memory.weights == pytest.approx(deep.memory.weights, rel=0.01)  # whole layers, norms and biases
    assert flat.ttft > deep.ttft
    assert flat.tpot < deep.tpot / 3
    assert flat.runtime < deep.runtime


# Neutral parameters and refusals

MINE = {n: k for n, k in technique_classes().items() if ".techniques.tokens." in k.__module__ and k.neutral}
SEES = {"mixture-of-depths", "token-pruning", "token-merging", "temporal-merging"}


@pytest.mark.parametrize("name", MINE)
def test_neutral_parameters_change_nothing(name):
    technique = MINE[name](**MINE[name].neutral)
    model = "deit-tiny" if name in SEES else "whisper-large-v3" if name == "decoder-to-encoder" else "llama-3.2-1b"
    job = IMAGES if name in SEES else ps.Inference(prompt_tokens=100, output_tokens=5, dtype="fp16")
    plain, same = (run(*using, job=job, model=model, stack="pytorch-eager") for using in ([], [technique]))
    assert same.runtime == plain.runtime
    assert same.flops == plain.flops
    assert same.memory.total == plain.memory.total


REFUSALS = [
    ("token-pruning", "resnet50", IMAGES, "none of its repeated layers attends among all tokens of a sequence"),
    ("token-pruning", "swin-tiny", IMAGES, "none of its repeated layers attends among all tokens of a sequence"),
    ("token-merging", "detr-resnet50", IMAGES, 'its layers "decoder" need all tokens of those in front of them'),
    ("token-pruning", "t5-base", JOB, 'its layers "decoder_layer" need all tokens of those in front of them'),
    (
        "token-pruning", "llama-2-7b", ps.Decode(dtype="bf16"),
        "the job reads nothing; use a task with a prompt or an image",
    ),
    (
        "token-merging", "llama-2-7b", JOB,
        "it reads no image or text in one pass; token-pruning and prompt-compression shorten prompts",
    ),
    ("temporal-merging", "llama-2-7b", JOB, "it reads no frames; use single-pass with a vision transformer"),
    (
        "visual-tokens", "deit-small", IMAGES,
        "it is no language model with a prompt that visual tokens could be part of",
    ),
    ("visual-tokens:encoder=gpt2", "llama-2-7b", JOB, "gpt2 sees no images; use a vision model"),
    ("visual-token-compression:present=5,tokens=6", "llama-2-7b", JOB, "tokens=6 are more than are present=5"),
    ("soft-prompt", "deit-small", IMAGES, "the job has no prompt"),
    ("decoder-to-encoder", "gpt2", JOB, "it has no encoder and decoder"),
    ("shorter-output", "deit-small", IMAGES, "the job writes no answer; use inference"),
    (
        "chunked-reading:chunk=10", "t5-base", JOB, "it needs a decoder with a prompt and an output; use Inference",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("technique", "model", "job", "reason"), REFUSALS)
def test_refusals_say_why(technique, model, job, reason):
    with pytest.raises(InputError) as refusal:
        run(technique, model=model, job=job)
    assert str(refusal.value) == f"{parse_technique(technique).name} cannot apply to {ps.model(model).name}: {reason}"
