"""Techniques on attention and its cache: sizes by hand, known crossovers, neutral parameters, refusals."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfsim as ps
from perfsim.errors import InputError
from perfsim.ops.sparse_attention import attended_pairs_twice
from perfsim.techniques.registry import technique_classes
from tests.strategies import devices, jobs, models

A100 = "a100-sxm4-80gb"
LAYERS, HEADS, DIM, HIDDEN = 32, 32, 128, 4096  # llama-2-7b
ENTRY = 2 * HEADS * DIM * 2  # keys and values of one position in one layer [byte]
JOB = ps.Inference(prompt_tokens=1024, output_tokens=17, batch=2, dtype="bf16")


def run(*using, job=JOB, model="llama-2-7b", on=A100, stack="ideal"):
    return ps.predict(model, job, on, stack=stack, using=using)


def step(context, *using, batch=8, stack="vllm"):
    return run(*using, job=ps.Decode(context_length=context, batch=batch, dtype="bf16"), stack=stack)


# Sparse attention


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 60), st.sampled_from([0.0, 0.25, 0.5, 0.9]))
def test_attended_pairs_are_those_of_every_query(tokens, before, budget, share):
    context = tokens + before
    visible = range(before + 1, context + 1)
    exact = 2 * sum(min(c, budget + share * c) for c in visible)
    formula = attended_pairs_twice(tokens=tokens, context=context, budget=budget, share=share)
    if share == 0:
        assert formula == exact
    assert formula == pytest.approx(exact, abs=2)  # the query at which the budget begins to bind counts in part


def test_sparse_attention_pays_only_beyond_a_context_length():
    """The known crossover: a choice of blocks costs launches and summaries, whatever it saves."""
    lengths = (512, 1024, 2048, 8192, 32768)
    gains = {c: step(c).runtime / step(c, "sparse-attention:budget=1024").runtime for c in lengths}
    assert gains[512] < 1
    assert gains[1024] < 1  # all is attended to, and the choice comes on top
    assert 1 < gains[2048] < gains[8192] < gains[32768]
    assert gains[32768] > 3


def test_sparse_prompts_pay_only_beyond_a_length():
    def gain(tokens):
        job = ps.Prefill(prompt_tokens=tokens, dtype="bf16")
        sparse = run("sparse-attention:budget=1024,block=64", job=job, stack="vllm")
        return run(job=job, stack="vllm").runtime / sparse.runtime

    assert gain(1024) < 1 < gain(16384) < gain(65536)


def test_the_summaries_are_a_sixteenth_of_the_cache():
    dense, sparse = step(4096), step(4096, "sparse-attention:budget=1024,block=16,vectors=2")
    # 2 vectors per 16 positions, as long as a key, which is half of an entry
    assert sparse.memory.kv_cache / dense.memory.kv_cache == 1 + 2 / 16 / 2


def test_a_fixed_pattern_costs_no_choice():
    (fixed,) = step(4096, "sparse-attention:budget=1024,vectors=0", stack="ideal").costs
    (dense,) = step(4096, stack="ideal").costs
    saved = (4096 - 1024) * ENTRY * LAYERS * 8  # positions of 8 sequences that are not read
    assert dense.traffic - fixed.traffic == saved
    pairs = 2 * 2 * (4096 - 1024) * DIM * HEADS * LAYERS * 8  # scores and values
    assert dense.flops - fixed.flops == pytest.approx(pairs, rel=1e-9)
    assert step(512, "sparse-attention:budget=1024,vectors=0").runtime == step(512).runtime


def test_a_slow_sparse_kernel_is_never_slower_than_all_pairs():
    job = ps.Prefill(prompt_tokens=8192, dtype="bf16")
    slow = run("sparse-attention:budget=0,share=0.5,vectors=0,rate=0.1", job=job)
    fast = run("sparse-attention:budget=0,share=0.5,vectors=0", job=job)
    assert fast.runtime < slow.runtime <= run(job=job).runtime * (1 + 1e-9)


def test_layers_may_differ_in_density():
    mixed = step(8192, "sparse-attention:budget=1024,vectors=0,density=8+1", stack="ideal")
    (dense,), (cost,) = step(8192, stack="ideal").costs, mixed.costs
    assert dense.traffic - cost.traffic == (8192 - 1024) * ENTRY * LAYERS / 2 * 8  # the first half reads everything


def test_permutation_pays_for_long_sequences_only():
    def gain(size):
        job = ps.Diffusion(steps=2, image_size=size, dtype="bf16")
        dense, sparse = (
            run(*using, job=job, model="flux.1-dev", on="h100-sxm5-80gb", stack="pytorch-eager")
            for using in ([], ["semantic-permutation:share=0.3"])
        )
        return dense.runtime / sparse.runtime

    assert gain(256) < 1 < gain(2048) < gain(4096)


# What the cache holds


def test_eviction_by_hand():
    full, cut = run(), run("kv-eviction:keep=0.5")
    assert full.memory.kv_cache == (1024 + 16) * ENTRY * LAYERS * 2
    assert cut.memory.kv_cache == (512 + 16) * ENTRY * LAYERS * 2
    assert cut.tpot < full.tpot
    assert cut.ttft > full.ttft  # importance and copies
    assert run("kv-eviction:keep=0.5,budget=100").memory.kv_cache == (100 + 16) * ENTRY * LAYERS * 2


def test_layers_keep_their_own_shares():
    cut = run("kv-eviction:keep=0.75+0.25")
    entries = (0.75 * 1024 + 16) * LAYERS / 2 + (0.25 * 1024 + 16) * LAYERS / 2
    assert cut.memory.kv_cache == entries * ENTRY * 2
    even = run("kv-eviction:keep=0.5")
    assert cut.memory.kv_cache == even.memory.kv_cache
    assert cut.tpot == pytest.approx(even.tpot, rel=1e-6)  # one global budget, however it is shared


def test_importance_is_worth_its_queries():
    by_score, free = run("kv-eviction:keep=0.5,observed=32"), run("kv-eviction:keep=0.5,observed=0")
    work = 2 * 2 * 32 * HEADS * 1024 * DIM * LAYERS  # batch 2
    choice = 2 * HEADS * 1024 * LAYERS  # one comparison per position and head
    assert by_score.flops - free.flops == pytest.approx(work + choice, rel=1e-6)


def test_pruned_tokens_are_not_evicted_twice():
    both = ["token-pruning:at=0.5,keep=0.5,fixed=0", "kv-eviction:keep=0.5,observed=0"]
    one, other = run(*both), run(*both[::-1])
    entries = (512 + 16) * LAYERS / 2 + (256 + 16) * LAYERS / 2
    assert one.memory.kv_cache == other.memory.kv_cache == entries * ENTRY * 2


@given(models(), jobs(), devices(), st.sampled_from(["kv-eviction", "sparse-attention:budget=8,block=4"]))
def test_memory_is_never_negative(model, job, device, technique):
    try:
        p = ps.predict(model, job, device, using=[technique])
    except InputError as refusal:
        assert "cannot apply" in str(refusal)  # noqa: PT017 - only the windows of random models are refused
        return
    plain = ps.predict(model, job, device)
    assert min(p.memory.weights, p.memory.kv_cache, p.memory.activations) >= 0
    assert p.memory.weights == plain.memory.weights
    if technique == "kv-eviction":
        assert 0 < p.memory.kv_cache <= plain.memory.kv_cache
    assert p.runtime > 0


def test_a_cached_prefix_is_not_computed_again():
    job = ps.Prefill(prompt_tokens=1024, batch=2, dtype="bf16")
    whole, tail = run(job=job), run("prefix-reuse:share=1", job=job)
    last = run(job=ps.Decode(context_length=1024, batch=2, dtype="bf16"))
    assert tail.flops == last.flops  # one token that sees all of them
    assert tail.memory.kv_cache == whole.memory.kv_cache
    half = run("prefix-reuse:share=0.5", job=job)
    products = 2 * (HIDDEN * HIDDEN * 4 + 3 * HIDDEN * 11008) * LAYERS * 512 * 2
    attention = 2 * (DIM + DIM) * HEADS * LAYERS * 2 * sum(range(1, 513))  # pairs of the first half of the prompt
    vectors = 0.002 * whole.flops
    assert whole.flops - half.flops == pytest.approx(products + attention, abs=vectors)


@pytest.mark.parametrize("stack", ["ideal", "vllm"])
def test_cached_latents_are_expanded_again(stack):
    job = ps.Prefill(prompt_tokens=1024, dtype="bf16")
    using = (["prefix-reuse:share=0.5"], [])
    half, whole = (run(*u, job=job, model="deepseek-v2-lite", stack=stack) for u in using)
    graph = half.costs[0].graph
    again = [op for op in graph.operators if op.name.endswith("kv_up.cached")]
    work = sum(op.work(graph.tensors).flops * graph.count(op) for op in again)
    assert work == 2 * 512 * 512 * 16 * (128 + 128) * 27  # positions, rank, heads, key and value, layers
    assert half.memory.kv_cache == whole.memory.kv_cache


def test_a_cached_prefix_saves_nothing_of_the_decode():
    assert run("prefix-reuse").tpot == run().tpot
    assert run("prefix-reuse").ttft < 0.2 * run().ttft


def test_a_mended_cache_computes_the_edit_and_turns_keys():
    job = ps.Prefill(prompt_tokens=8192, dtype="bf16")
    whole = run(job=job)
    little, more = (run(f"positional-re-encoding:edited={n}", job=job) for n in (64, 512))
    assert little.runtime < more.runtime < whole.runtime
    moved = run("positional-re-encoding:edited=64,behind=1", job=job).traffic - little.traffic
    assert moved == 2 * 0.5 * 8192 * HEADS * DIM * 2 * LAYERS  # the other half of the keys, read and written


# Other shapes of attention


def test_grouped_queries_shrink_the_cache():
    assert run("grouped-queries:kv_heads=8").memory.kv_cache == run().memory.kv_cache / 4
    multi = run("grouped-queries:kv_heads=1")
    assert multi.memory.kv_cache == run().memory.kv_cache / 32
    saved = 2 * HIDDEN * 31 * DIM * LAYERS * 2
    assert run().memory.weights - multi.memory.weights == saved


def test_a_latent_is_all_that_is_cached():
    latent = run("latent-conversion:rank=512,rope_dim=32")
    assert latent.memory.kv_cache == (1024 + 16) * (512 + 32) * 2 * LAYERS * 2
    assert latent.tpot < run().tpot


def test_shared_caches_save_room_but_no_reads():
    own, shared = run(), run("kv-sharing:sharing=2")
    assert shared.memory.kv_cache == own.memory.kv_cache / 2
    projections = 2 * HIDDEN * HIDDEN * LAYERS / 2 * 2  # keys and values of half of the layers
    assert own.memory.weights - shared.memory.weights == projections
    written = ENTRY * LAYERS / 2 * 2
    (_, decode), (_, with_sharing) = own.costs, shared.costs
    assert decode.traffic - with_sharing.traffic == pytest.approx(16 * (projections + written))
    assert run("kv-sharing:sharing=4").memory.kv_cache == own.memory.kv_cache / 4


def test_shared_caches_can_be_quantised_and_cut():
    p = run("kv-sharing:sharing=2", "kv-cache-quantization:format=int8", "kv-eviction:keep=0.5,observed=0")
    assert p.memory.kv_cache == (512 + 16) * ENTRY * LAYERS * 2 / 2 / 2


def test_two_halves_cache_once():
    p = run("cache-once:window=256")
    assert p.memory.kv_cache == (15 * 256 + 1040) * ENTRY * 2  # 15 windows and one full layer
    prompt, whole = p.costs[0], run("cache-once:window=256,stops=0").costs[0]
    assert 0.45 < prompt.flops / whole.flops < 0.55  # half of the layers, and a token through the others
    assert p.tpot == run("cache-once:window=256,stops=0").tpot


@pytest.mark.parametrize("technique", ["kv-sharing", "kv-eviction:observed=0", "grouped-queries:kv_heads=8"])
def test_caches_are_cut_over_devices(technique):
    one, two = (ps.predict("llama-2-7b", JOB, A100, count=n, using=[technique]) for n in (1, 2))
    assert two.memory.kv_cache == one.memory.kv_cache / 2


SWEPT = [
    "sparse-attention:budget=256", "kv-eviction:keep=0.7+0.3,budget=300", "prefix-reuse",
    "predicted-cache:auxiliary=gpt2",
]  # fmt: skip


@pytest.mark.parametrize("technique", SWEPT)
def test_a_sweep_is_a_loop(technique):
    job = ps.Inference(output_tokens=20, dtype="bf16")
    axes = {"batch": [1, 7], "prompt_tokens": [100, 1000]}
    found = ps.sweep("llama-3.2-1b", job, A100, using=[[technique]], **axes)
    for batch in (1, 7):
        for prompt in (100, 1000):
            p = run(technique, job=job.replace(batch=batch, prompt_tokens=prompt), model="llama-3.2-1b")
            point = found.sel(batch=batch, prompt_tokens=prompt)
            assert float(point["runtime"].squeeze()) == pytest.approx(p.runtime, rel=1e-9)
            assert float(point["memory_total"].squeeze()) == pytest.approx(p.memory.total, rel=1e-9)


def test_a_window_bounds_the_cache():
    assert run("sliding-window:window=4096").memory.kv_cache == run().memory.kv_cache
    assert run("sliding-window:window=256").memory.kv_cache == 256 * ENTRY * LAYERS * 2
    half = run("sliding-window:window=256,share=0.5")
    assert half.memory.kv_cache == (256 + 1040) * ENTRY * LAYERS / 2 * 2


# Kernels and pages


def test_the_fused_kernel_is_that_of_a_fused_stack():
    naive = dataclasses.replace(ps.stack("pytorch-eager"), attention="naive")
    for model in ("gpt2", "llama-3.2-1b", "t5-base"):
        job = JOB.replace(dtype="fp16")
        fused = ps.predict(model, job, A100, stack="pytorch-eager")
        rewritten = ps.predict(model, job, A100, stack=naive, using=["fused-attention"])
        assert rewritten.runtime == pytest.approx(fused.runtime, rel=1e-12)
        assert rewritten.flops == fused.flops
        assert rewritten.memory.total == fused.memory.total
        assert ps.predict(model, job, A100, stack=naive).ttft > fused.ttft


def test_pages_against_reservation():
    job = JOB.replace(prompt_tokens=1001)
    pages, longest = run("paged-cache:block=16", job=job), run("reserved-cache:positions=4096", job=job)
    assert pages.memory.kv_cache == 1024 * ENTRY * LAYERS * 2  # 1017 positions in 64 pages
    assert longest.memory.kv_cache == 4096 * ENTRY * LAYERS * 2
    assert longest.runtime == run(job=job).runtime
    table = pages.traffic - run(job=job).traffic
    assert table > 0
    assert table < 1e-4 * pages.traffic


# A cache that another model predicts


def test_a_predicted_cache_by_hand():
    p = run("predicted-cache:auxiliary=tinyllama-1.1b")
    small = run(job=ps.Prefill(prompt_tokens=1024, batch=2, dtype="bf16"), model="tinyllama-1.1b")
    first = run(job=ps.Decode(context_length=1024, batch=2, dtype="bf16"))
    phases = {row.name: row for row in p.phases}
    assert list(phases) == ["prefill/auxiliary", "prefill/maps", "prefill/first", "decode"]
    assert phases["prefill/auxiliary"].runtime == pytest.approx(small.runtime)
    assert phases["prefill/first"].runtime == pytest.approx(first.runtime)
    assert p.ttft == pytest.approx(sum(phases[name].runtime for name in list(phases)[:3]))
    maps = 2 * 256 * HIDDEN * LAYERS * 2  # 4 heads of 64 entries to 4096 numbers, keys and values
    assert p.memory.weights == run().memory.weights + small.memory.weights + maps
    assert p.tpot == run().tpot


# Neutral parameters and refusals

MINE = {n: k for n, k in technique_classes().items() if ".techniques.attention." in k.__module__ and k.neutral}


@pytest.mark.parametrize("name", MINE)
@pytest.mark.parametrize("stack", ["ideal", "vllm"])
def test_neutral_parameters_change_nothing(name, stack):
    technique = MINE[name](**MINE[name].neutral)
    if name == "semantic-permutation":
        job, model = ps.Diffusion(steps=2, dtype="bf16", image_size=256), "dit-xl-2-256"
    else:
        job, model = JOB, "llama-3.2-1b"
    plain, same = (run(*using, job=job, model=model, stack=stack) for using in ([], [technique]))
    assert same.runtime == plain.runtime
    assert same.flops == plain.flops
    assert same.memory.total == plain.memory.total


NAIVE = dataclasses.replace(ps.stack("ideal"), attention="naive")
REFUSALS = [
    (
        "sparse-attention:budget=0", "llama-2-7b", "ideal",
        "nothing is attended to with budget=0 and share=0; state one of them",
    ),
    ("sparse-attention", "llama-2-7b", NAIVE, "its attention runs in steps; put fused-attention in front"),
    (
        "paged-cache", "llama-2-7b", NAIVE,
        "its attention runs in steps, which know no pages; put fused-attention in front",
    ),
    ("sparse-attention", "mamba-130m", "ideal", "it has no full attention"),
    ("kv-eviction", "mamba-130m", "ideal", "it keeps no cache of earlier positions"),
    ("grouped-queries:kv_heads=3", "llama-2-7b", "ideal", "32 query heads cannot share kv_heads=3 evenly"),
    ("grouped-queries", "t5-base", "ideal", "it has no key/value heads to merge"),
    ("latent-conversion:rope_dim=128", "llama-2-7b", "ideal", "rope_dim=128 leaves nothing of head_dim 128; use less"),
    ("latent-conversion", "mistral-7b", "ideal", "its attention has a window, which latent attention has not"),
    (
        "cache-once", "deepseek-v2-lite", "ideal",
        "it is no stack of equal layers with keys and values of their own",
    ),
    ("kv-sharing", "deepseek-v2-lite", "ideal", "it has no layers with keys and values of their own"),
    (
        "prefix-reuse", "t5-base", "ideal",
        "its prompt is not read from the first token to the last, so nothing of it can be reused",
    ),
    (
        "semantic-permutation", "llama-2-7b", "ideal",
        "its tokens are not denoised; use a diffusion model, or sparse-attention",
    ),
    ("predicted-cache:auxiliary=mamba-130m", "llama-2-7b", "ideal", "mamba-130m has layers without keys and values"),
]  # fmt: skip


@pytest.mark.parametrize(("technique", "model", "stack", "reason"), REFUSALS)
def test_refusals_say_why(technique, model, stack, reason):
    with pytest.raises(InputError) as refusal:
        run(technique, model=model, stack=stack)
    name = technique.partition(":")[0]
    assert str(refusal.value) == f"{name} cannot apply to {ps.model(model).name}: {reason}"


def test_a_list_that_is_none_is_refused():
    with pytest.raises(InputError) as refusal:
        run("kv-eviction:keep=half")
    expected = 'kv-eviction: keep="half": expected numbers from 0 to 1 joined by "+", e.g. 0.5+0.25'
    assert str(refusal.value) == expected
