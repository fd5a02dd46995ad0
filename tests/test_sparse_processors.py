"""Sparse and int8 kernels on processors: instructions that a reader can count, and where zeros begin to pay."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfsim as ps
from perfsim.catalog.hardware import stack
from perfsim.errors import InputError
from perfsim.ops.sparse_strips import StripProduct, busiest_core, strip_slots
from perfsim.techniques.sparsity.pointwise import index_overhead
from perfsim.validation.rows import predict_row, read_rows
from perfsim.validation.suites import run_suite
from tests.pages import ROOT

PHONE = "snapdragon-835"
PASS = ps.SinglePass(dtype="fp32")


def run(model, *using, cores=1, on=PHONE, job=PASS, **options):
    return ps.predict(
        model, job, on, stack="xnnpack", using=using, what_if={"device.operating_point": f"{cores}-core"}, **options
    )


def gain(model, using, **options):
    return run(model, **options).runtime / run(model, using, **options).runtime


def slots(width, block=1, issue=2.0, blocks=1, rows=0, lanes=4):
    return strip_slots(width=width, lanes=lanes, block=block, issue=issue, blocks=blocks, rows=rows)


# The kernel


def test_a_strip_by_its_instructions():
    assert slots(32) == (8 + 8 + 8) / 2  # 8 vectors: multiply, load, and 8 scalar instructions, two at a time
    assert slots(16) == (4 + 4 + 8) / 2
    assert slots(32, block=2) == 16  # (16 + 8 + 8) / 2: just busy with multiplying
    assert slots(32, block=4) == 32  # (32 + 8 + 8) / 2 = 24 are issued beside 32 multiplications
    assert slots(1) == (1 + 1 + 8) / 2  # a single position costs as much as its bookkeeping
    assert slots(32, issue=4.0) == 8
    assert slots(32, blocks=0, rows=1) == (4 * 8 + 6) / 2  # bias, two clamps and a store per vector, 6 scalars
    assert slots(32, lanes=8) == (4 + 4 + 8) / 2  # fp16


def test_cores_take_whole_strips():
    assert busiest_core(whole=6, rest=1.0, images=1, strip=10.0, cores=1) == 61
    assert busiest_core(whole=6, rest=1.0, images=1, strip=10.0, cores=4) == 20  # two of six strips
    assert busiest_core(whole=1, rest=5.0, images=1, strip=10.0, cores=4) == 10  # two cores wait
    assert busiest_core(whole=0, rest=5.0, images=3, strip=10.0, cores=2) == 10  # two of three images
    assert busiest_core(whole=8, rest=0.0, images=1, strip=10.0, cores=4) == 20


def pointwise(layer, *using, model="mobilenetv1", **options):
    """Work of one layer, and the whole prediction."""
    p = run(model, *using, **options)
    (cost,) = p.costs
    op = next(op for op in cost.graph.operators if op.name == layer)
    return op, op.work(cost.graph.tensors)


def test_a_layer_by_hand():
    op, work = pointwise("blocks.3.1.project", "sparse-pointwise:density=0.25")
    assert isinstance(op, StripProduct)
    kept, rows = 512 * 512 / 4, 512
    assert work.flops == 2 * 196 * kept  # 14 × 14 positions
    six, four = ((kept * (2 * v + 8) + rows * (4 * v + 6)) / 2 for v in (8, 1))  # 196 = 6 · 32 + 4
    assert work.executed * work.flops / 2 / 4 == pytest.approx(6 * six + four)
    assert work.executed == pytest.approx(1.59, abs=0.01)  # so 0.25 of the products take 0.40 of the time


def test_what_is_taken():
    p = run("mobilenetv2", "sparse-pointwise")
    kinds = {o.name: o.kind for o in p.operators}
    assert {kinds["stem"], kinds["blocks.0.0.depthwise"], kinds["head"]} == {"conv", "depthwise-conv", "linear"}
    # 16 expand, 17 project and one before the pool; equal blocks are listed once
    assert sum(o.count for o in p.operators if o.kind == "sparse-pointwise") == 34
    squeeze = run("efficientnet-b0", "sparse-pointwise").operators
    assert {o.kind for o in squeeze if ".se.reduce" in o.name} == {"linear"}
    shortcuts = {o.name: o.kind for o in run("resnet50", "sparse-pointwise").operators if "shortcut" in o.name}
    assert shortcuts.pop("layer1.0.shortcut") == "sparse-pointwise"
    assert set(shortcuts.values()) == {"conv"}  # the others have stride 2


def test_bytes_of_values_offsets_and_counts():
    assert index_overhead(density=0.25, block=1, inputs=64) == 0.25 * 32 + 32 / 64
    assert index_overhead(density=0.25, block=4, inputs=64) == (0.25 * 32 + 32 / 64) / 4
    # MobileNet v1: 13 pointwise layers, with 4 kept bytes and 4 of offsets each, and a count per output
    widths = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
    weights = sum(a * b for a, b in pairwise(widths))
    dense, sparse = (run("mobilenetv1", *u).memory.weights for u in ((), ("sparse-pointwise:density=0.1",)))
    assert dense - sparse == pytest.approx(weights * 4 - weights * 0.1 * 8 - sum(widths[1:]) * 4)


# Where it pays


def break_even(model, using, **options):
    """Density at which a network is as fast as dense."""
    low, high = 0.001, 0.999
    for _ in range(7):
        middle = (low + high) / 2
        low, high = (middle, high) if gain(model, f"{using},density={middle}", **options) > 1 else (low, middle)
    return low


def test_few_zeros_make_it_slower():
    assert gain("mobilenetv1", "sparse-pointwise:density=0.9") < 0.75
    assert gain("mobilenetv1", "sparse-pointwise:density=0.1") > 3
    # one output per block: two thirds of the dense rate at best, less the ends of strips and rows
    assert 0.5 < break_even("mobilenetv1", "sparse-pointwise:block=1") < 2 / 3
    assert break_even("mobilenetv1", "sparse-pointwise:block=4") > 0.9
    # XNNPACK takes its sparse kernels above two thirds of zeros, also with all cores of a phone: on the safe side
    assert break_even("mobilenetv1", "sparse-pointwise:block=1", cores=4) > 1 / 3


def test_what_stays_dense_limits_the_gain():
    stays = sum(o.runtime for o in run("mobilenetv2", "sparse-pointwise").operators if o.kind != "sparse-pointwise")
    assert gain("mobilenetv2", "sparse-pointwise:density=0.001,block=4") < run("mobilenetv2").runtime / stays


def test_few_positions_leave_cores_idle():
    late = "blocks.4.1.project"  # 7 × 7 positions: a strip of 32 and 17 more, for four cores
    one, four = (pointwise(late, "sparse-pointwise", cores=c)[1].executed for c in (1, 4))
    assert four > 1.9 * one
    early = "blocks.0.0.project"  # 112 × 112 positions are 392 strips
    one, four = (pointwise(early, "sparse-pointwise", cores=c)[1].executed for c in (1, 4))
    assert four == pytest.approx(one)


@given(
    st.floats(0.01, 0.98), st.sampled_from([1, 2, 4]), st.sampled_from([8, 16, 32]), st.sampled_from([1, 2, 4]),
    st.sampled_from(["mobilenetv1-0.25-128", "mobilenetv2-0.35"]),
)  # fmt: skip
def test_more_weights_take_longer_and_no_kernel_beats_the_peak(density, block, strip, cores, model):
    text = f"block={block},strip={strip}"
    less, more = (run(model, f"sparse-pointwise:density={d},{text}", cores=cores) for d in (density, density + 0.01))
    assert less.runtime < more.runtime
    assert less.flops < more.flops
    (cost,) = less.costs
    taken = [op for op in cost.graph.operators if isinstance(op, StripProduct)]
    assert all(op.work(cost.graph.tensors).executed >= 1 for op in taken)
    assert less.runtime >= less.ideal.runtime


@given(st.lists(st.integers(1, 200), min_size=2, max_size=4, unique=True), st.sampled_from([1, 3]))
def test_arrays_agree_with_numbers(whole, cores):
    numbers = [busiest_core(whole=w, rest=3.0, images=2, strip=5.0, cores=cores) for w in whole]
    assert busiest_core(whole=np.array(whole, float), rest=3.0, images=2, strip=5.0, cores=cores).tolist() == numbers
    assert slots(16, blocks=np.array(whole)).tolist() == [slots(16, blocks=w) for w in whole]


def test_a_sweep_agrees_with_its_points():
    using = "sparse-pointwise:density=0.2"
    swept = ps.sweep(model="mobilenetv2", job=PASS, on=PHONE, stack="xnnpack", batch=[1, 2, 5], using=[[using]])
    points = [
        ps.predict("mobilenetv2", PASS.replace(batch=b), PHONE, stack="xnnpack", using=[using]) for b in (1, 2, 5)
    ]
    assert swept["runtime"].values.ravel().tolist() == pytest.approx([p.runtime for p in points])


@pytest.mark.parametrize(
    ("model", "on", "dtype", "reason"),
    [
        ("vgg16", PHONE, "fp32", "it has no dense pointwise convolutions with stride 1 over maps"),
        ("mobilenetv1", PHONE, "int8", "its kernels compute in fp32 and fp16, not in int8"),
        (
            "mobilenetv1", "t4", "fp32",
            "its kernels are those of processors, and t4 is a datacenter-gpu; use unstructured-sparsity",
        ),
    ],
)  # fmt: skip
def test_where_it_has_no_kernel(model, on, dtype, reason):
    with pytest.raises(InputError) as refusal:
        ps.predict(model, ps.SinglePass(dtype=dtype), on, using=["sparse-pointwise"])
    assert str(refusal.value) == f"sparse-pointwise cannot apply to {model}: {reason}"


# int8


def kinds(using, model="mobilenetv2", dtype="fp32"):
    """How often each kind of operator runs, repetitions included."""
    p = ps.predict(model, ps.SinglePass(dtype=dtype), PHONE, stack="xnnpack", using=using)
    found = dict.fromkeys((o.kind for o in p.operators), 0)
    for o in p.operators:
        found[o.kind] += o.count
    return found


def test_conversions_at_the_ends_and_around_what_is_not_integer():
    plain = kinds([])
    assert kinds([], dtype="int8") == plain  # a job of integers: its input and output are integers, too
    assert kinds(["integer-inference"]) == plain | {"quantize": 1, "dequantize": 1}
    # 10 additions read two features and write one
    assert kinds(["integer-inference:wide=add"]) == plain | {"quantize": 1 + 10, "dequantize": 1 + 2 * 10}
    pooled = kinds(["integer-inference:wide=add+global-pool"])
    assert pooled == plain | {"quantize": 1 + 10 + 1, "dequantize": 1 + 2 * 10 + 1}
    assert kinds([], "resnet50")["add"] == 16
    both = kinds(["integer-inference:wide=add"], "resnet50")  # here the additions are read by the relu behind them
    assert (both["quantize"], both["dequantize"]) == (1 + 16, 1 + 2 * 16)


def test_conversions_cost_bytes_and_time():
    def runtime(*using, dtype="fp32"):
        job = ps.SinglePass(dtype=dtype)
        return ps.predict("efficientnet-b0", job, PHONE, stack="xnnpack", using=using).runtime

    times = [
        runtime(dtype="int8"), runtime("integer-inference"), runtime("integer-inference:wide=add"),
        runtime("integer-inference:wide=add+silu+sigmoid"), runtime("weight-activation-quantization"),
    ]  # fmt: skip
    assert times == sorted(times)
    weights = [ps.predict("mobilenetv2", PASS, PHONE, using=u).memory.weights for u in ([], ["integer-inference"])]
    biases = 17056 + 1000  # of 52 convolutions and the classifier: they stay wide
    assert weights[1] == (weights[0] - 4 * biases) / 4 + 4 * biases


@pytest.mark.parametrize(
    ("model", "using", "reason"),
    [
        (
            "vit-tiny-16", "integer-inference",
            "its layers have attention or norms, whose sums need more bits; use weight-activation-quantization",
        ),
        (
            "mobilenetv1", "integer-inference:wide=silu",
            'wide="silu": it has no "silu"; its kinds are bias, conv, depthwise-conv, global-pool, linear, relu6',
        ),
        ("mobilenetv1", "integer-inference:format=fp16", f"{PHONE} multiplies no matrices in fp16; it computes in "),
    ],
)  # fmt: skip
def test_what_integers_cannot_do(model, using, reason):
    with pytest.raises(InputError) as refusal:
        ps.predict(model, PASS, PHONE, stack="xnnpack", using=[using])
    assert str(refusal.value).startswith(f"integer-inference cannot apply to {model}: {reason}")


# Rows


def test_onnxruntime_on_networks_that_no_fit_has_seen():
    report = run_suite("onnxruntime-cpu")
    numbers = report.statistics()
    assert numbers["rows"] == 18
    assert not any(pair.fitted for pair in report.pairs)
    assert numbers["mape"] < 8  # 7.4 when it was written; the operators that were fitted have 16
    low, high = report.ratio_quantiles()
    known = stack("onnxruntime-cpu").on(ps.device("xeon-avx512-core")).calibration
    assert (known.low, known.high) == pytest.approx((low, high), rel=0.005)
    for row in read_rows(ROOT / "measurements" / "onnxruntime-cpu.csv"):
        assert predict_row(row).ideal.runtime < row.value


def test_published_sparse_networks():
    """Snapdragon 835, Fast Sparse ConvNets: nothing was fitted, and all are predicted too fast."""
    report = run_suite("sparse-convnets")
    mobile = [pair for pair in report.pairs if pair.model.startswith("mobilenet")]
    assert [pair.error for pair in mobile] == pytest.approx([-0.265, -0.233, -0.276], abs=0.01)
    for row in read_rows(ROOT / "measurements" / "sparse-convnets.csv"):
        low, high = predict_row(row).interval
        assert low < row.value < high
    # at equal accuracy, 0.9 zeros against three quarters of the width
    dense, sparse = run("mobilenetv1-0.75-224"), run("mobilenetv1", "sparse-pointwise:density=0.1,strip=16")
    assert 1.3 < dense.runtime / sparse.runtime < 2.4


def test_intervals_say_why():
    def interval(on, software, dtype="fp32"):
        p = ps.predict("mobilenetv2", ps.SinglePass(dtype=dtype), on, stack=software)
        return p.relative_interval

    near = interval("google-pixel", "xnnpack")
    assert (near.low, near.high) == (0.956, 1.05)
    board = interval("raspberry-pi-4", "xnnpack")
    assert (board.low, board.high) == (1, 1.47)  # four rows, all slower than predicted
    other = interval("rk3566", "xnnpack")
    assert other.low == pytest.approx(0.956**1.5)
    assert other.high == pytest.approx(1.47**1.5)
    assert other.why.endswith("widened, because no measurement of xnnpack on rk3566")
    single = interval("raspberry-pi-4", "onnxruntime-cpu")
    assert (single.low, single.high) == (0.5, 2.0)
    assert single.why.endswith(
        "to a factor of two at least, because one kind of device does not tell how devices differ"
    )
    assert "int8 was not measured" in interval("google-pixel", "xnnpack", "int8").why


def test_int8_helps_where_the_core_has_dot_products():
    def quotient(on):
        wide, narrow = (ps.predict("resnet50", ps.SinglePass(dtype=d), on, stack="xnnpack") for d in ("fp32", "int8"))
        return wide.runtime / narrow.runtime

    assert quotient("raspberry-pi-5") > quotient("raspberry-pi-4") > 1  # Cortex-A76 has them, A72 has not
