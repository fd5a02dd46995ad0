"""Number formats of weights and products: bytes, operations and crossovers that a reader can count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfsim as ps
from perfsim.errors import InputError
from perfsim.graph import Role
from perfsim.ops.codebook import decode_flops, lookup_flops
from perfsim.quantities.dtypes import DTYPES
from perfsim.techniques.quantization.block_float import computed_in
from perfsim.techniques.quantization.codebook import codebook_bits
from perfsim.techniques.quantization.packing import grouped_bits
from perfsim.techniques.quantization.selection import leading_layers
from tests.strategies import devices, jobs, models

H100, B200, A100 = "h100-sxm5-80gb", "b200", "a100-sxm4-80gb"
PROMPT = ps.Prefill(prompt_tokens=4096, batch=4, dtype="bf16")
STEP = ps.Decode(context_length=512, batch=1, dtype="bf16")
LAYER = 4 * 4096 * 4096 + 3 * 4096 * 11008  # matrices of one layer of Llama 2 7B
LAYERS = 32
REST = 2 * 32000 * 4096 + 65 * 4096  # token table, head, norms


def run(job, *using, on=H100, stack="ideal", model="llama-2-7b"):
    return ps.predict(model, job, on, stack=stack, using=using)


def weights(*using, **more):
    return run(STEP, *using, **more).memory.weights


def test_bits_per_weight_with_scales():
    assert grouped_bits(bits=4, group=32, per_group=8) == 4.25  # mxfp4
    assert grouped_bits(bits=4, group=16, per_group=8) == 4.5  # nvfp4
    assert codebook_bits(vector=8, code_bits=16, codebooks=1, group=1024) == 2 + 1 / 64
    assert codebook_bits(vector=8, code_bits=8, codebooks=2, group=1024) == 2 + 1 / 64


def test_any_format_can_be_stored():
    eight = weights("weight-quantization:format=fp8_e4m3,group=128")
    assert eight == LAYERS * LAYER * (8 + 16 / 128) / 8 + 2 * REST
    six = weights("weight-quantization:format=fp6,group=128")
    assert six == LAYERS * LAYER * (6 + 16 / 128) / 8 + 2 * REST
    with pytest.raises(InputError, match='format="fp7" is not a number format; known: fp64, fp32'):
        weights("weight-quantization:format=fp7")


def test_outliers_add_their_value_and_position():
    plain, with_them = (weights(f"weight-quantization:outliers={share}") for share in (0.0, 0.01))
    assert with_them - plain == pytest.approx(LAYERS * LAYER * 0.01 * (16 + 32) / 8, rel=1e-6)


def test_four_bits_win_single_steps_and_lose_to_eight_bit_products_in_large_batches():
    large = STEP.replace(batch=512, context_length=128)
    four, eight = "weight-quantization:bits=4", "weight-activation-quantization:format=int8"
    assert run(STEP, four).tpot < run(STEP, eight).tpot < run(STEP).tpot
    assert run(large, eight).tpot < run(large, four).tpot


def test_mixed_precision_stores_each_share_in_its_width():
    mixed = weights("mixed-precision:share=0.25,bits=4,other=8,group=128")
    narrow, wide = 4 + 20 / 128, 8 + 24 / 128  # a 16-bit scale and a zero point of the width per 128 weights
    assert mixed == LAYER * (8 * narrow + 24 * wide) / 8 + 2 * REST


def test_mixed_precision_lies_between_its_ends():
    ends = [run(STEP, f"mixed-precision:share={share},bits=4,other=8").tpot for share in (0.0, 0.5, 1.0)]
    assert ends[2] < ends[1] < ends[0]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.floats(0, 1))
def test_a_share_of_the_layers_is_rounded_once(counts, share):
    chosen = leading_layers(counts, share)
    assert sum(chosen) == round(share * sum(counts))
    assert all(0 <= some <= count for some, count in zip(chosen, counts, strict=True))


def test_layers_can_multiply_in_different_formats():
    half = run(PROMPT, "mixed-precision-products:share=0.5,format=fp8_e4m3").runtime
    whole = run(PROMPT, "mixed-precision-products:share=1,format=fp8_e4m3").runtime
    plain = run(PROMPT).runtime
    assert plain - half == pytest.approx(half - whole, rel=0.01)
    with pytest.raises(InputError, match="multiplies no matrices in fp8_e4m3"):
        run(PROMPT, "mixed-precision-products:format=fp8_e4m3", on=A100)


def test_narrow_features_between_layers_save_what_products_alone_do_not():
    frame = ps.SinglePass(batch=64, dtype="fp16")
    using = "mixed-precision-products:share={},format=int8,features={}"
    where = {"model": "resnet50", "on": A100, "stack": "tensorrt"}
    inputs, half, whole = (
        run(frame, using.format(*each), **where).runtime for each in ((1, "inputs"), (0.5, "all"), (1, "all"))
    )
    everything = run(frame.replace(dtype="int8"), **where).runtime
    assert everything < whole < half < inputs < run(frame, **where).runtime
    assert whole == pytest.approx(everything, rel=0.1)  # the first and the last layer stay wide
    with pytest.raises(InputError, match="its layers have attention or norms, or are not repeated"):
        run(STEP, using.format(1, "all"), on=H100)


def test_three_widths_come_from_two_applications():
    frame = ps.SinglePass(batch=64, dtype="fp16")
    names = [f"mixed-precision-products:share={s},format={f},features=all" for s, f in ((0.5, "int4"), (1.0, "int8"))]
    where = {"model": "resnet50", "on": A100, "stack": "tensorrt"}
    both, wide = run(frame, *names, **where), run(frame, names[1], **where)
    assert both.runtime < wide.runtime
    graph = both.costs[0].graph
    found = {op.compute_dtype(graph.tensors).name for op in graph.operators if op.kind == "conv"}
    assert found == {"fp16", "int8", "int4"}


def test_parts_have_their_own_width():
    both = weights("precision-by-part:attention=8,ffn=4,head=8,embedding=4,group=128")
    attention, ffn = 4 * 4096 * 4096, 3 * 4096 * 11008
    table = 32000 * 4096
    bits = LAYERS * (attention * (8 + 24 / 128) + ffn * (4 + 20 / 128)) + table * (8 + 24 / 128 + 4 + 20 / 128)
    assert both == pytest.approx(bits / 8 + 2 * 65 * 4096, rel=1e-9)


def test_only_experts_in_few_bits():
    plain = run(STEP, model="mixtral-8x7b", on="h200-sxm-141gb").costs[0].graph
    packed = run(STEP, "precision-by-part:experts=2", model="mixtral-8x7b", on="h200-sxm-141gb").costs[0].graph
    for name, tensor in plain.tensors.items():
        if tensor.role is Role.WEIGHT:
            bits = packed.tensors[name].dtype.bits
            assert bits == (2 + 18 / 128 if tensor.expert else tensor.dtype.bits)


def test_a_codebook_costs_its_indices_and_its_tables():
    tables = LAYERS * 7 * 2**16 * 8 * 2  # seven matrices, 2^16 vectors of 8 16-bit numbers
    assert weights("codebook-quantization:vector=8,code_bits=16") == pytest.approx(
        LAYERS * LAYER * (2 + 16 / 1024) / 8 + tables + 2 * REST, rel=1e-9
    )
    shared = weights("codebook-quantization:vector=8,code_bits=16,shared=1")
    assert shared == pytest.approx(LAYERS * LAYER * (2 + 16 / 1024) / 8 + 2 * REST, rel=1e-9)


def test_decoding_and_look_ups_are_counted():
    assert decode_flops(weights=800, vector=8, codebooks=2) == 800 * (2 + 0.25 + 1)
    # 16 activations in two tables of 16 sums; 10 outputs of 3 planes look up each table: a load and an addition;
    # one scale per plane and output: a multiplication and an addition
    assert lookup_flops(rows=1, inner=16, outer=10, bits=3, span=8, group=16) == 2 * 256 + 2 * 10 * 3 * 2 + 2 * 10 * 3


def test_transforms_around_products_cost_launches():
    plain, rotated = (
        run(STEP, f"codebook-quantization:shared=1,hadamard={h}", stack="vllm").tpot for h in (0, 1)
    )
    assert rotated > plain  # eleven small kernels per layer


def test_look_ups_do_decode_only():
    job = ps.Inference(prompt_tokens=512, output_tokens=16, dtype="fp16")
    prompt, *steps = run(job, "lookup-kernel", on=A100).costs
    assert {op.kind for op in prompt.graph.operators} >= {"dequantize", "linear"}
    assert "lookup-product" in {op.kind for op in steps[0].graph.operators}
    assert prompt.graph.footprint(Role.WEIGHT) == steps[0].graph.footprint(Role.WEIGHT)
    with pytest.raises(InputError, match="the job has no decode steps, and look-ups pay for single rows only"):
        run(PROMPT, "lookup-kernel")


def test_look_ups_go_with_the_bits_and_fall_behind_in_batches():
    two, four = (run(STEP, f"lookup-kernel:bits={bits}", on=A100).tpot for bits in (2, 4))
    assert two < four
    large = STEP.replace(batch=256)
    unpacked, looked_up = (run(large, name, on=A100).tpot for name in ("weight-quantization", "lookup-kernel"))
    assert looked_up > unpacked  # the vector unit does what the matrix unit does faster


def test_bit_switching_stores_the_widest_and_reads_the_narrowest():
    stored = weights("bit-switching:stored=8,bits=4")
    assert stored == weights("bit-switching:stored=8,bits=8")
    times = [run(STEP, f"bit-switching:stored=8,bits={bits}").tpot for bits in (2, 4, 8)]
    assert times == sorted(times)
    assert times[1] < 1.02 * run(STEP, "weight-quantization:bits=4").tpot
    with pytest.raises(InputError, match="bits=8 cannot be read of stored=4 bits; use bits of at most 4"):
        run(STEP, "bit-switching:stored=4,bits=8")


def test_block_formats_run_at_their_peak_or_at_the_next_wider_one():
    device = ps.device(B200)
    assert computed_in(device, DTYPES["fp4"]) is DTYPES["fp4"]
    assert computed_in(ps.device(H100), DTYPES["fp4"]).name == "fp8_e4m3"
    assert computed_in(ps.device(A100), DTYPES["fp4"]) is None
    using = "block-floating-point"
    gains = [run(PROMPT, on=on).runtime / run(PROMPT, using, on=on).runtime for on in (A100, H100, B200)]
    assert gains[0] == pytest.approx(1, rel=0.01)  # bytes alone do not help a compute-bound prompt
    assert 1.7 < gains[1] < 2.0
    assert 3.0 < gains[2] < 4.0
    assert weights("block-floating-point:format=nvfp4") == LAYERS * LAYER * 4.5 / 8 + 2 * REST


def test_packing_behind_sparsity_keeps_the_index():
    both = weights("unstructured-sparsity:density=0.5,index=bitmap", "weight-quantization:bits=4,group=128")
    assert both == pytest.approx(LAYERS * LAYER * ((4 + 20 / 128) / 2 + 1) / 8 + 2 * REST, rel=1e-9)


@pytest.mark.parametrize("late", ["semi-structured-sparsity", "unstructured-sparsity", "low-rank", "monarch"])
def test_what_needs_stored_weights_is_refused_behind_packing(late):
    with pytest.raises(InputError, match="apply it before techniques that pack or replace the weights"):
        run(STEP, "weight-quantization", late)


PACKED = [
    "mixed-precision:share=0.5", "precision-by-part:ffn=4,embedding=8,head=8", "codebook-quantization:shared=1",
    "codebook-quantization:shared=1,hadamard=1", "bit-switching", "lookup-kernel", "block-floating-point:features=0",
]  # fmt: skip


@given(models(), jobs(), devices(), st.sampled_from(PACKED))
def test_packed_weights_take_less_memory(model, job, device, name):
    plain = ps.predict(model, job, on=device)
    if name == "lookup-kernel" and not any(cost.phase.stage == "decode" for cost in plain.costs):
        return
    packed = ps.predict(model, job, on=device, using=[name])
    assert 0 < packed.memory.weights < plain.memory.weights
    assert packed.memory.kv_cache == plain.memory.kv_cache
