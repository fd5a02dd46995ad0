"""Predictions against a published bound table, against sums made by hand, and against each other."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perfsim as ps
from perfsim.errors import InputError
from tests.strategies import devices, jobs, make_device, models, perfect_stack, stacks, techniques

A100 = "a100-sxm4-80gb"
GIB = 2**30


def predict(model, job, **options):
    return ps.predict(model, job, on=options.pop("on", A100), **options)


# Llama-2-7B, 16 bit, A100-80GB, prompt and context 1024: the bound that ten tools are compared with


@pytest.mark.parametrize(
    ("batch", "ttft", "tpot", "memory"), [(1, 43.4e-3, 6.74e-3, 13.05), (8, 347e-3, 8.59e-3, 16.55)]
)
def test_the_bound_table(batch, ttft, tpot, memory):
    prefill = predict("llama-2-7b", ps.Prefill(prompt_tokens=1024, batch=batch, dtype="fp16"))
    decode = predict("llama-2-7b", ps.Decode(context_length=1024, batch=batch, dtype="fp16"))
    # 1 %: element-wise work is counted, too, and some of it outlasts the bytes that it moves
    assert prefill.ttft == pytest.approx(ttft, rel=0.01)
    assert decode.tpot == pytest.approx(tpot, rel=0.01)
    assert prefill.memory.weights / GIB == pytest.approx(12.55, abs=0.005)
    assert decode.memory.total / GIB == pytest.approx(memory, abs=0.005)


LAYERS, H, F, V = 32, 4096, 11008, 32000
MATRICES = LAYERS * (4 * H * H + 3 * H * F)  # 6 476 005 376 weights in the products of the layers
NORMS = (2 * LAYERS + 1) * H
PARAMETERS = MATRICES + NORMS + 2 * V * H


def test_the_bound_by_hand():
    p = 1024
    flops = 2 * p * MATRICES + 2 * p * (p + 1) * H * LAYERS + 2 * H * V  # projections, visible pairs, one logit row
    bound = flops / 312e12
    assert bound == pytest.approx(43.4e-3, rel=1e-3)
    assert bound <= predict("llama-2-7b", ps.Prefill(prompt_tokens=p, dtype="fp16")).runtime <= 1.01 * bound
    step = predict("llama-2-7b", ps.Decode(context_length=p, dtype="fp16"))
    cache = 2 * 2 * H * LAYERS * p  # keys and values, two bytes
    moved = 2 * (PARAMETERS - V * H) + cache  # the embedding is not read as a whole
    assert moved <= step.traffic <= moved * 1.001
    assert step.runtime == pytest.approx(moved / 2.039e12, rel=2e-3)
    assert step.memory.weights == 2 * PARAMETERS
    assert step.memory.kv_cache == cache == GIB // 2
    assert step.memory.activations == 0  # the ideal stack keeps them on chip


# phases and sums


@settings(max_examples=40)
@given(models(), devices(), stacks(), st.integers(1, 100), st.integers(0, 7), st.integers(1, 4))
def test_a_request_is_its_prompt_and_every_single_step(model, device, stack, prompt, output, batch):
    fields = {"batch": batch, "dtype": "fp16"}
    for software in ("ideal", stack):
        p = predict(
            model, ps.Inference(prompt_tokens=prompt, output_tokens=output, **fields), on=device, stack=software
        )
        parts = [predict(model, ps.Prefill(prompt_tokens=prompt, **fields), on=device, stack=software)]
        positions = range(prompt + 1, prompt + output)  # T(p, o) = α(p) + Σ β(p + i), i = 1 … o − 1
        parts += [predict(model, ps.Decode(context_length=c, **fields), on=device, stack=software) for c in positions]
        assert p.runtime == pytest.approx(sum(part.runtime for part in parts), rel=1e-9)
        assert p.flops == pytest.approx(sum(part.flops for part in parts), rel=1e-9)
        assert p.traffic == pytest.approx(sum(part.traffic for part in parts), rel=1e-9)
        assert p.memory.kv_cache == pytest.approx(parts[-1].memory.kv_cache)  # the cache counts at its longest


@settings(max_examples=40)
@given(models(), jobs(), devices(), stacks(), techniques(), st.sampled_from([1, 2]))
def test_parts_sum_to_the_whole(model, job, device, stack, using, count):
    p = predict(model, job, on=device, stack=stack, using=using, count=count)
    for rows in (p.phases, p.operators):
        for field in ("runtime", "flops", "traffic"):
            # flops and traffic of a row are whole numbers, also where half an expert is expected
            whole = len(p.operators) if field != "runtime" else 0
            assert sum(getattr(r, field) for r in rows) == pytest.approx(getattr(p, field), rel=1e-9, abs=whole)
    assert sum(r.energy for r in p.phases) == pytest.approx(p.energy)
    assert p.power == pytest.approx(p.energy / p.runtime)
    assert {r.bound for r in (*p.phases, *p.operators)} <= {"compute", "memory", "network", "overhead"}
    if p.ttft is not None and p.tpot is not None:
        steps = p.phase("decode").steps
        assert p.runtime == pytest.approx(p.ttft + steps * p.tpot)


def test_no_output_is_the_prompt_alone():
    none, one = (
        predict("gpt2", ps.Inference(prompt_tokens=100, output_tokens=o, batch=3, dtype="fp16")) for o in (0, 1)
    )
    prompt = predict("gpt2", ps.Prefill(prompt_tokens=100, batch=3, dtype="fp16"))
    assert none.runtime == one.runtime == prompt.runtime == none.ttft
    assert (none.tpot, none.throughput) == (None, None)
    assert one.throughput == 3 / one.runtime  # each of three sequences gets its first token


def test_cost_and_carbon():
    p = predict("gpt2", ps.Decode(dtype="fp16"), on=make_device(), count=2)  # 1 USD per hour and device
    assert p.cost == pytest.approx(p.runtime * 2 / 3600)
    assert p.carbon == pytest.approx(p.energy * 1.58 * 0.475 / 3.6e6)  # industry's PUE, world's grid


def test_unknown_power_and_price_stay_unknown():
    device = make_device()
    data = {k: v for k, v in device.data.items() if not k.startswith(("power.", "price."))}
    p = predict("gpt2", ps.Decode(dtype="fp16"), on=type(device)("bare", "Bare", data, device.info, device.sources))
    assert (p.energy, p.power, p.cost, p.carbon, p.phases[0].energy) == (None,) * 5


# memory and batch


def test_largest_batch_by_hand():
    job = ps.Inference(prompt_tokens=2048, output_tokens=256, dtype="bf16")
    weights = 2 * 8_030_261_248
    sequence = (2048 + 256 - 1) * 2 * 8 * 128 * 32 * 2  # positions · (K and V) · heads · size · layers · 2 byte
    assert ps.largest_batch("llama-3.1-8b", job, A100) == (80 * GIB - weights) // sequence == 231


@pytest.mark.parametrize("using", [[], ["weight-quantization"], ["kv-cache-quantization"]])
@pytest.mark.parametrize("stack", ["ideal", "megatron-2022"])
def test_the_largest_batch_fits_and_the_next_does_not(stack, using):
    job = ps.Inference(prompt_tokens=500, output_tokens=50, dtype="fp16")
    options = {"stack": stack, "using": using}
    n = ps.largest_batch("llama-2-13b", job, A100, **options)
    fits = [predict("llama-2-13b", job.replace(batch=b), **options).memory.fits for b in (n, n + 1)]
    assert fits == [True, False]


def test_no_batch_fits_where_the_weights_do_not():
    job = ps.Inference(prompt_tokens=16, output_tokens=4, dtype="bf16")
    assert ps.largest_batch("llama-3.1-405b", job, A100) == 0
    p = predict("llama-3.1-405b", job)
    assert p.memory.fits is False
    assert p.remarks == (  # 2 · 405 853 388 800 byte; 80 GiB
        "does not fit: 811.7 GB needed per device, 85.9 GB there; the largest tensor is embedding.weight, at layer "
        "embedding",
    )


def test_longer_than_the_model_allows_is_remarked():
    p = predict("gpt2", ps.Decode(context_length=2000, dtype="fp16"))
    assert p.remarks == ("2000 positions exceed the model's limit of 1024",)


# techniques by hand


def test_quantised_weights_by_hand():
    job = ps.Decode(context_length=1024, dtype="fp16")
    p = predict("llama-2-7b", job, using=["weight-quantization:bits=4,group=128,zero_point=1"])
    stored = MATRICES * (4 + (16 + 4) / 128) / 8  # 4 bits, and a scale and a zero point per 128 weights
    assert p.memory.weights == stored + 2 * (NORMS + 2 * V * H)  # norms, embedding and head keep 16 bits
    plain = predict("llama-2-7b", job)
    assert plain.traffic - p.traffic == 2 * MATRICES - stored


def moved(p):
    """Bytes through the L2: everything that crosses the border of a kernel."""
    return sum(phase.levels["l2"] for phase in p.phases)


def test_without_a_fused_kernel_the_weights_make_a_round_trip():
    job, using = ps.Decode(context_length=1024, dtype="fp16"), ["weight-quantization"]
    fused = predict("llama-2-7b", job, stack=perfect_stack(fuse=("dequantize+linear",)), using=using)
    apart = predict("llama-2-7b", job, stack=perfect_stack(), using=using)
    # written and read again in 16 bits; the L2 still holds a part of what was just written
    assert moved(apart) - moved(fused) == 2 * (2 * MATRICES)
    assert fused.traffic < apart.traffic < moved(apart)
    assert apart.runtime > predict("llama-2-7b", job, stack=perfect_stack()).runtime > fused.runtime


def test_quantised_experts_are_read_where_touched():
    job, using = ps.Decode(context_length=64, dtype="fp16"), ["weight-quantization:bits=4,group=128,zero_point=0"]
    stack = perfect_stack(fuse=("dequantize+linear", "dequantize+experts"))
    plain, packed = (predict("mixtral-8x7b", job, stack=stack, using=u) for u in ([], using))
    touched = 32 * (2 * 3 * 4096 * 14336 + 4096 * (4096 + 2 * 1024) + 4096 * 4096 + 4096 * 8)  # two of eight experts
    assert moved(plain) - moved(packed) == pytest.approx(touched * (2 - (4 + 16 / 128) / 8), rel=1e-9)


def test_a_quantised_cache():
    job = ps.Decode(context_length=1024, batch=8, dtype="fp16")
    p, q = (predict("llama-2-7b", job, using=u) for u in ([], ["kv-cache-quantization:format=fp8_e4m3"]))
    assert q.memory.kv_cache * 2 == p.memory.kv_cache == 4 * GIB
    assert p.traffic - q.traffic == 2 * GIB + 8 * LAYERS * 2 * H  # half of what is read, and of the new position
    assert q.flops == p.flops


def test_latent_weights_are_quantised_in_both_phases():
    jobs_ = (ps.Prefill(prompt_tokens=64, dtype="bf16"), ps.Decode(context_length=64, dtype="bf16"))
    prefill, decode = (predict("deepseek-v2-lite", job, using=["weight-quantization"]) for job in jobs_)
    assert prefill.memory.weights == decode.memory.weights


# refusals


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: predict("llama-3.1-8b", ps.Inference(dtype="fp8")),
            'dtype "fp8_e4m3": device a100-sxm4-80gb has no matrix rate for it; '
            "it computes in fp64, fp32, tf32, bf16, fp16, int8, int4",
        ),
        (
            lambda: ps.largest_batch("gpt2", "fast", A100),
            "job is str, expected e.g. Inference(prompt_tokens=1024, output_tokens=128)",
        ),
        (lambda: predict("gpt2", "fast"), "job is str, expected e.g. Inference(prompt_tokens=1024, output_tokens=128)"),
        (lambda: ps.Inference(batch=0), "batch=0: expected a whole number, at least 1"),
        (lambda: ps.Inference(prompt_tokens=1.5), "prompt_tokens=1.5: expected a whole number, at least 1"),
        (lambda: ps.Inference(output_tokens=-1), "output_tokens=-1: expected a whole number, at least 0"),
        (lambda: ps.Decode(context_length=True), "context_length=True: expected a whole number, at least 1"),
        (lambda: ps.Prefill(batch=10**10), "batch=10000000000: expected at most 1e9"),
        (lambda: ps.Prefill().replace(tokens=3), "Prefill has no tokens; it has batch, dtype, prompt_tokens"),
        (lambda: predict("gpt2", ps.Decode(), count=0), "count=0: expected a whole number of devices, at least 1"),
        (
            lambda: predict("gpt2", ps.Decode(), using="weight-quantization"),
            'using="weight-quantization": expected a list, e.g. using=["weight-quantization"]',
        ),
        (
            lambda: predict("gpt2", ps.Decode(), using=[3]),
            "using: 3 is int, expected a technique or a text such as name:key=value",
        ),
        (
            lambda: predict("gpt2", ps.Decode(), using=["weight-quantization:bits=9"]),
            "weight-quantization: bits=9: expected 1 to 8 [bit]",
        ),
        (
            lambda: predict("gpt2", ps.Decode(), using=["weight-quantization:bits=7"]),
            "weight-quantization cannot apply to gpt2: no integer format has 7 bits",
        ),
        (
            lambda: predict("gpt2", ps.Decode(), using=["weight-quantization:bit=4"]),
            'technique weight-quantization: "bit=4" is not a parameter; expected bits=..., group=..., zero_point=..., '
            "format=..., outliers=...",
        ),
        (
            lambda: predict("gpt2", ps.Decode(), using=["weight-quantization:bits=four"]),
            'technique weight-quantization: bits="four", expected a whole number',
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError) as refusal:
        call()
    assert str(refusal.value) == message


def test_an_unknown_phase_lists_the_known_ones():
    with pytest.raises(InputError) as refusal:
        predict("gpt2", ps.Inference()).phase("warmup")
    assert str(refusal.value) == 'no phase "warmup"; this job has prefill, decode'


# what travels with the result


@settings(max_examples=40)
@given(models(), jobs(), devices(), stacks())
def test_the_interval_holds_the_expected_runtime_and_stays_above_ideal(model, job, device, stack):
    p = predict(model, job, on=device, stack=stack)
    low, high = p.interval
    assert p.ideal.runtime <= low <= p.runtime * (1 + 1e-9)
    assert high >= p.runtime
    assert p.relative_interval.why == "random-stack was not compared with measurements"


def test_the_ideal_stack_is_a_bound():
    p = predict("gpt2", ps.Decode())
    assert p.interval == (p.runtime, p.runtime)
    assert p.relative_interval.why == "the ideal stack is a lower bound, not an expectation"


def test_coverage_names_what_is_missing():
    p = predict("deepseek-v3", ps.Decode(), on="h200-sxm-141gb")
    assert (p.coverage.operators, p.coverage.flops, p.coverage.traffic) == (1.0, 1.0, 1.0)
    assert p.coverage.missing == (
        "1 multi-token prediction layer(s) are neither stored nor run",
        "quantization_config of the checkpoint is not applied; state dtype, or use weight-quantization",
        "tokenization and detokenization",
        "network time between client and server",
    )


def test_the_same_question_gets_the_same_answer():
    job = ps.Inference(prompt_tokens=33, output_tokens=9)
    first, second = (predict("mixtral-8x7b", job, stack="megatron-2022", on="h100-sxm5-80gb") for _ in range(2))
    assert (first.runtime, first.energy, first.memory.total) == (second.runtime, second.energy, second.memory.total)


def test_rounded_rows_add_up_to_the_totals():
    """Counts are rounded once, per row: MACs at 0.75 of the width and several devices leave fractions of bytes."""
    for model, job, on, options in (
        ("mobilenetv1-0.75-192", ps.SinglePass(), "gh200", {"stack": "tensorrt-llm"}),
        ("mixtral-8x7b", ps.Inference(prompt_tokens=77, output_tokens=9, batch=3), "h100-sxm5-80gb", {"count": 4}),
    ):
        p = ps.predict(model, job, on, **options)
        for name in ("flops", "traffic"):
            rows = [getattr(row, name) for row in p.operators]
            assert all(isinstance(value, int) for value in rows)
            assert sum(rows) == sum(getattr(row, name) for row in p.phases) == getattr(p, name)
            for phase in p.phases:
                assert sum(getattr(r, name) for r in p.operators if r.phase == phase.name) == getattr(phase, name)
