"""Smaller and shared structures: what shrinks, and which phase gains."""

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfsim as ps
from perfsim.errors import InputError
from perfsim.ops.contextual import active_union
from perfsim.ops.fourier_matrix import product_flops
from perfsim.ops.shared_array import array_bytes
from perfsim.techniques.factorization.chain import Factor, balanced, factored_parameters
from perfsim.techniques.factorization.kronecker import kronecker_factors
from perfsim.techniques.factorization.monarch import block_factors, monarch_factors
from perfsim.techniques.factorization.tensor_train import train_factors, train_joins
from perfsim.techniques.structure.layer_sharing import shared_runs
from perfsim.techniques.structure.pruning import kept_units
from tests.strategies import devices, jobs, models

H100 = "h100-sxm5-80gb"
PROMPT = ps.Prefill(prompt_tokens=4096, batch=4, dtype="bf16")
STEP = ps.Decode(context_length=512, batch=1, dtype="bf16")
FRAME = ps.SinglePass(batch=1, dtype="fp16")
LAYER = 4 * 4096 * 4096 + 3 * 4096 * 11008  # matrices of one layer of Llama 2 7B
LAYERS = 32


def run(job, *using, on=H100, stack="ideal", model="llama-2-7b"):
    return ps.predict(model, job, on, stack=stack, using=using)


def gain(job, *using, **more):
    return run(job, **more).runtime / run(job, *using, **more).runtime


def test_fewer_operations_without_fewer_bytes_do_not_speed_up_decode():
    # a free pattern of which every weight is stored anyway: half the operations, the same bytes and a bitmap on top
    using = "unstructured-sparsity:density=0.5,index=csr-16"  # 8 + 8 bits per dense weight
    dense, sparse = run(STEP), run(STEP, using)
    assert sparse.flops < 0.6 * dense.flops
    assert sparse.tpot == pytest.approx(dense.tpot, rel=1e-3)
    assert gain(PROMPT, using) > 1.8


def test_two_of_four_helps_compute_bound_phases_through_arithmetic_only():
    same_bytes = "unstructured-sparsity:density=0.5625,index=none,efficiency=0.0001"  # 9 of 16 bits, dense arithmetic
    two_of_four = "semi-structured-sparsity"
    assert run(STEP, two_of_four).tpot == pytest.approx(run(STEP, same_bytes).tpot, rel=1e-6)
    assert gain(PROMPT, two_of_four) > 1.7
    assert gain(PROMPT, same_bytes) < 1.01


def test_the_union_of_active_neurons_is_what_a_simulation_counts():
    draws, neurons, rng = 400, 50, random.Random(3)
    counts = []
    for _ in range(draws):
        needed = {n for _ in range(6) for n in range(neurons) if rng.random() < 0.2}
        counts.append(len(needed) / neurons)
    error = statistics.stdev(counts) / draws**0.5
    assert active_union(active=0.2, tokens=6) == pytest.approx(statistics.mean(counts), abs=4 * error)


def test_contextual_sparsity_reads_the_active_neurons_of_single_tokens():
    mlp = LAYERS * 3 * 4096 * 11008 * 2
    dense, sparse = run(STEP), run(STEP, "contextual-sparsity:active=0.25")
    assert dense.traffic - sparse.traffic == pytest.approx(0.75 * mlp, rel=1e-6)
    assert sparse.memory.weights == dense.memory.weights
    assert gain(STEP.replace(batch=64), "contextual-sparsity:active=0.25") == pytest.approx(1, rel=1e-3)


def test_a_predictor_is_stored_and_read():
    plain, predicted = (run(STEP, f"contextual-sparsity:active=0.25,predictor={rank}") for rank in (0, 256))
    assert predicted.memory.weights - plain.memory.weights == LAYERS * 256 * (4096 + 11008) * 2
    assert predicted.tpot > plain.tpot


def test_a_correction_costs_its_passes_and_what_it_throws_away():
    job = ps.Inference(prompt_tokens=256, output_tokens=129, dtype="bf16")
    free, corrected, thrown = (
        run(job, f"contextual-sparsity:active=0.5{more}").tpot
        for more in ("", ",period=16", ",period=16,advance=12")
    )
    assert free < corrected < thrown < run(job).tpot * 1.05
    phases = {cost.name: cost for cost in run(job, "contextual-sparsity:active=0.5,period=16,advance=12").costs}
    assert phases["decode/correct"].repeat == pytest.approx(128 / 12)
    assert phases["decode"].repeat == pytest.approx(128 * 16 / 12)


def test_contextual_sparsity_and_packing_combine():
    one, other = gain(STEP, "contextual-sparsity:active=0.25"), gain(STEP, "weight-quantization")
    assert gain(STEP, "contextual-sparsity:active=0.25", "weight-quantization") > max(one, other) * 1.4


def test_pruned_units_are_counted():
    assert kept_units(32, 0.75) == 24
    assert kept_units(11008, 0.5, 64) == 5504
    assert kept_units(8, 0.01) == 1
    pruned = run(STEP, "structured-pruning:layers=0.75,heads=0.5,ffn=0.5").model
    assert pruned.layers == 24
    assert (pruned.groups[0].attention.heads, pruned.groups[0].mlp.width) == (16, 5504)
    layer = 4 * 4096 * 2048 + 3 * 4096 * 5504 + 2 * 4096
    assert pruned.parameters == 24 * layer + 2 * 32000 * 4096 + 4096


def test_pruning_helps_both_phases_and_the_cache():
    using = "structured-pruning:heads=0.5,ffn=0.5"
    assert gain(STEP, using) > 1.8
    assert gain(PROMPT, using) > 1.8
    assert run(STEP, using).memory.kv_cache == run(STEP).memory.kv_cache / 2


def test_pruning_of_other_families():
    bert = run(FRAME, "structured-pruning:ffn=0.5", model="bert-base")
    assert run(FRAME, model="bert-base").model.parameters - bert.model.parameters == 12 * 1536 * (2 * 768 + 1)
    half = run(FRAME, "structured-pruning:channels=0.5", model="resnet50").flops
    assert half < run(FRAME, model="resnet50").flops / 3
    for model, field, text in (("resnet50", "ffn", "use channels and layers"), ("gpt2", "channels", "has no channels")):
        job = FRAME if model == "resnet50" else STEP.replace(dtype="fp16")
        with pytest.raises(InputError, match=text):
            run(job, f"structured-pruning:{field}=0.5", model=model)


def test_factors_of_a_matrix():
    assert monarch_factors(4096, 4096, blocks=4) == [Factor(4, 1024, 1024), Factor(4, 1024, 1024)]
    assert factored_parameters(monarch_factors(4096, 4096, blocks=4)) == 4096 * 4096 * 2 // 4
    assert factored_parameters(block_factors(4096, 1024, blocks=8)) == 4096 * 1024 // 8
    assert kronecker_factors(6, 8, inner_rows=2, inner_columns=4) == [Factor(1, 2, 4, 3), Factor(1, 3, 2, 4)]
    assert balanced(4096, 3) == [16, 16, 16]
    # cores 1×16×16×r, r×16×16×r, r×16×16×1
    assert factored_parameters(train_factors(4096, 4096, cores=3, rank=8)) == 256 * (8 + 64 + 8)


@given(st.integers(1, 5000), st.integers(1, 6))
def test_balanced_factors_multiply_to_the_whole(total, parts):
    product = 1
    for factor in balanced(total, parts):
        product *= factor
    assert product == total


@given(st.sampled_from([12, 64, 96]), st.sampled_from([16, 60, 128]), st.integers(2, 4), st.integers(1, 40))
def test_every_chain_fits_together(rows, columns, cores, rank):
    for chain in (
        train_factors(rows, columns, cores=cores, rank=rank),
        kronecker_factors(rows, columns, inner_rows=cores, inner_columns=cores),
        monarch_factors(rows, columns, blocks=cores),
    ):
        size = rows
        for factor in chain:
            assert size == factor.repeat * factor.blocks * factor.inner
            size = factor.repeat * factor.blocks * factor.outer
        assert size == columns


def test_factored_kernels_compute_what_their_factors_say():
    tokens = 16384
    dense, monarch = run(PROMPT), run(PROMPT, "monarch:blocks=4,part=ffn")
    saved = LAYERS * 2 * tokens * (3 * 4096 * 11008 - 3 * (4096 + 11008) * 1024)
    assert dense.flops - monarch.flops == pytest.approx(saved, rel=1e-9)
    # Kronecker with a 2 × 2 inner factor: a quarter of the weights, half of the operations
    square = [Factor(1, 2, 2, 2048), Factor(1, 2048, 2048, 2)]
    assert kronecker_factors(4096, 4096, inner_rows=2, inner_columns=2) == square
    assert sum(f.parameters * f.repeat for f in square) == pytest.approx(4096 * 4096 / 2, rel=1e-3)


def test_small_factors_help_decode_more_than_real_kernels_show():
    assert gain(STEP, "tensor-train:rank=32") > 5
    assert gain(STEP, "tensor-train:rank=32", stack="vllm") < 3  # three launches per matrix
    # over a prompt the matrices are rebuilt once: the dense products, and the joining on top
    prompt = run(PROMPT, "tensor-train:rank=32")
    assert 1 < prompt.flops / run(PROMPT).flops < 1.01


@given(st.sampled_from([12, 64, 96]), st.sampled_from([16, 60, 128]), st.integers(2, 4), st.integers(1, 40))
def test_joined_cores_make_up_the_matrix(rows, columns, cores, rank):
    entries = train_factors(rows, columns, cores=cores, rank=rank)[0].parameters
    for m, n, k in train_joins(rows, columns, cores=cores, rank=rank):
        assert m * k == entries  # what was joined before, with the bond to the next core
        entries = m * n
    assert entries == rows * columns


@pytest.mark.parametrize("rows", [1, 4096])
def test_a_train_takes_the_order_with_less_work(rows):
    # bonds of 64: a row costs more core by core than times the matrix, so the matrices are rebuilt for many rows
    job = STEP if rows == 1 else ps.Prefill(prompt_tokens=rows, batch=1, dtype="bf16")
    expected, orders = 0, set()
    for inner, outer, count in ((4096, 4096, 4), (4096, 11008, 2), (11008, 4096, 1)):
        by_core = rows * sum(2 * f.parameters * f.repeat for f in train_factors(inner, outer, cores=3, rank=64))
        joining = sum(2 * m * n * k for m, n, k in train_joins(inner, outer, cores=3, rank=64))
        rebuilt = 2 * rows * inner * outer + joining
        orders.add(by_core < rebuilt)
        expected += LAYERS * count * (min(by_core, rebuilt) - 2 * rows * inner * outer)
    assert orders == {rows == 1}
    assert run(job, "tensor-train:rank=64").flops - run(job).flops == pytest.approx(expected, rel=1e-9)


def test_a_chain_that_is_not_smaller_is_not_made():
    assert run(STEP, "tensor-train:rank=65536").runtime == run(STEP).runtime


def test_dense_times_sparse():
    one = run(STEP, "dense-sparse:inner=0.25,kept=64")
    square = 4096 * 1024 * 2 + 4096 * 64 * (2 + 10 / 8)  # values in 16 bits, positions of 1024 rows in 10
    up = 4096 * 1024 * 2 + 11008 * 64 * (2 + 10 / 8)
    down = 11008 * 2752 * 2 + 4096 * 64 * (2 + 12 / 8)
    others = run(STEP).memory.weights - LAYERS * LAYER * 2
    assert one.memory.weights - others == pytest.approx(LAYERS * (4 * square + 2 * up + down), rel=1e-7)  # whole bytes


def test_thin_factors_beside_a_sparse_matrix():
    both = run(STEP, "low-rank-plus-sparse:rank=64,density=0.25,index=bitmap")
    thin = 64 * (4 * (4096 + 4096) + 3 * (4096 + 11008)) * 2
    saved = run(STEP).memory.weights - both.memory.weights
    assert saved == pytest.approx(LAYERS * (LAYER * (16 - 4 - 1) / 8 - thin), rel=1e-9)
    sparse = run(STEP, "unstructured-sparsity:density=0.25,index=bitmap")
    assert sparse.flops < both.flops < run(STEP).flops
    assert sparse.tpot < both.tpot < run(STEP).tpot


def test_factors_are_not_spread_over_devices():
    with pytest.raises(InputError, match="the factors are not spread over devices; use count=1"):
        ps.predict("llama-2-7b", STEP, H100, count=2, using=["monarch"])


def test_only_a_part_is_factored():
    ffn = run(STEP, "low-rank:ratio=0.32,part=ffn")
    kept = 1 - (run(STEP).memory.weights - ffn.memory.weights) / (LAYERS * 3 * 4096 * 11008 * 2)
    assert kept == pytest.approx(0.32, abs=1e-3)


def test_shared_layers_are_stored_once_and_read_every_time():
    assert shared_runs(7, 3) == [3, 3, 1]
    plain, shared = run(STEP), run(STEP, "layer-sharing:times=4")
    saved = LAYERS * (LAYER + 2 * 4096) * 2 * 3 / 4
    assert plain.memory.weights - shared.memory.weights == saved
    assert shared.tpot == pytest.approx(plain.tpot)
    assert shared.memory.kv_cache == plain.memory.kv_cache


def test_a_shared_array_saves_memory_and_time_only_if_it_is_short():
    assert array_bytes(wanted=1e6, chunk=64, array=1e9) == 1e6
    assert array_bytes(wanted=1e6, chunk=2, array=1e9) == 16e6  # sectors of 32 bytes for 2
    assert array_bytes(wanted=1e6, chunk=2, array=1e5) == 1e5
    plain, tenth = run(STEP), run(STEP, "random-parameter-sharing:ratio=0.1")
    assert plain.memory.weights - tenth.memory.weights == pytest.approx(0.9 * LAYERS * LAYER * 2, rel=1e-9)
    assert tenth.tpot == pytest.approx(plain.tpot, rel=1e-3)
    assert tenth.flops >= plain.flops
    assert gain(STEP, "random-parameter-sharing:ratio=0.001") > 5
    assert gain(STEP, "random-parameter-sharing:ratio=0.1,chunk=1") < 0.2


def test_smaller_token_tables():
    rows = run(STEP, "embedding-pruning:share=0.5").model
    assert (rows.vocabulary, rows.parameters) == (16000, run(STEP).model.parameters - 2 * 16000 * 4096)
    narrow = run(STEP, "factorized-embedding:width=128")
    assert narrow.model.parameters == run(STEP).model.parameters - 2 * 32000 * 4096 + 2 * 128 * (32000 + 4096)
    hashed = run(STEP, "hashed-embedding:share=0.1,lookups=2")
    assert run(STEP).memory.weights - hashed.memory.weights == 0.9 * 32000 * 4096 * 2
    with pytest.raises(InputError, match="its head shares the token table, of which it needs every row"):
        run(STEP.replace(dtype="fp16"), "hashed-embedding", model="gpt2")


def test_an_elastic_subnet_runs_small_and_may_stay_whole():
    plain = run(STEP)
    whole = plain.model.parameters
    small = run(STEP, "elastic-subnet:width=0.5,layers=0.5")
    kept = run(STEP, f"elastic-subnet:width=0.5,layers=0.5,stored={whole}")
    assert small.tpot == kept.tpot < plain.tpot / 3
    assert kept.memory.weights == plain.memory.weights > small.memory.weights
    assert run(FRAME, "elastic-subnet:resolution=0.5", model="resnet50").flops < run(FRAME, model="resnet50").flops / 3


def test_stitches_lie_between_their_anchors():
    job = FRAME.replace(batch=8)
    times = [run(job, f"stitching:small=deit-small,share={s}", model="deit-base").runtime for s in (0, 0.25, 0.5, 1)]
    assert times == sorted(times, reverse=True)
    assert times[0] == run(job, model="deit-base").runtime
    assert times[-1] == run(job, model="deit-small").runtime
    both = run(job, "stitching:small=deit-small,share=0.5,resident=1", model="deit-base").memory.weights
    parts = sum(run(job, model=m).memory.weights for m in ("deit-small", "deit-base"))
    assert both == pytest.approx(parts, rel=0.02)  # batch norms are folded, position tables differ
    with pytest.raises(InputError, match="of another kind, whose layers do not fit"):
        run(job, "stitching:small=resnet50", model="deit-base")
    with pytest.raises(InputError, match="another technique makes other phases of the job; state one of them"):
        run(job, "model-cascade:small=deit-small", "stitching:small=deit-small", model="deit-base")


def test_a_stream_costs_a_step_instead_of_a_clip():
    clip, step = run(FRAME, model="slow-r50-8x8"), run(FRAME, "continual-inference", model="slow-r50-8x8")
    assert clip.flops / step.flops == pytest.approx(8, rel=0.01)  # eight frames per clip
    assert step.memory.kv_cache > 0
    with pytest.raises(InputError, match="only networks for clips with one pathway"):
        run(FRAME, "continual-inference", model="resnet50")


def test_wide_networks_move_fewer_bytes_for_the_same_work():
    job = FRAME.replace(batch=512)
    where = {"model": "resnet50", "on": "a100-sxm4-80gb", "stack": "pytorch-channels-last"}
    plain, wide, uniform = (
        run(job, *using, **where)
        for using in ((), ("compound-scaling:growth=4",), ("compound-scaling:growth=4,width_share=0.3333",))
    )
    assert wide.flops / plain.flops == pytest.approx(4, rel=0.05)
    assert uniform.flops / plain.flops == pytest.approx(4, rel=0.05)
    assert wide.traffic / plain.traffic == pytest.approx(4 ** (1 - 0.8 / 2), rel=0.1)  # growth^(1 - width_share / 2)
    assert wide.runtime < uniform.runtime


def test_only_pointwise_convolutions_are_sparse():
    job = FRAME.replace(dtype="fp32")
    using = "unstructured-sparsity:density=0.2,index=csr-16,products={}"
    some, every = (run(job, using.format(which), model="mobilenetv1").costs[0].graph for which in ("pointwise", "all"))
    assert {op.fusion_kind for op in some.operators if op.kind == "sparse-product"} == {"conv"}
    assert {op.fusion_kind for op in every.operators if op.kind == "sparse-product"} == {"conv", "depthwise-conv"}


def test_transforms_as_products():
    # 256 complex points by two factors of 16: 8·16 operations per point and factor, 6 for the twiddles between
    assert product_flops(transforms=1, points=256, radix=16) == 256 * (8 * 2 * 16 + 6)
    assert product_flops(transforms=1, points=256, radix=16, real=True) == 128 * (8 * 2 * 16 + 6)
    eager = {"model": "affnet-et", "on": "a100-sxm4-80gb", "stack": "pytorch-eager"}
    plain, fused = (run(FRAME.replace(batch=64), *using, **eager) for using in ((), ("fourier-products",)))
    assert fused.flops == plain.flops
    assert fused.traffic < plain.traffic
    with pytest.raises(InputError, match="it has no Fourier transforms"):
        run(STEP, "fourier-products")


SMALLER = [
    "structured-pruning:layers=0.5", "structured-pruning:ffn=0.5,multiple=1", "layer-sharing",
    "random-parameter-sharing:ratio=0.5", "embedding-pruning", "elastic-subnet:layers=0.5", "block-diagonal",
    "monarch:blocks=8", "low-rank:ratio=0.3",
]  # fmt: skip


@given(models(), jobs(), devices(), st.sampled_from(SMALLER))
def test_smaller_structures_never_take_more_memory(model, job, device, name):
    plain, changed = ps.predict(model, job, on=device), ps.predict(model, job, on=device, using=[name])
    assert 0 < changed.memory.weights <= plain.memory.weights
    assert changed.memory.kv_cache <= plain.memory.kv_cache
