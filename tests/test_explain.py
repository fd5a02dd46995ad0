# ruff: noqa: E501
"""explain: its formulas give the prediction's numbers, and its text says where they come from."""

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import perfsim as ps
from perfsim.catalog import stack_names
from perfsim.errors import UnknownNameError
from perfsim.prediction.crossing import moves
from perfsim.prediction.symbolic import formula_text, of_step, phase_formulas

H200 = "h200-sxm-141gb"
JOB = ps.Inference(prompt_tokens=300, output_tokens=40, batch=6, dtype="fp16")

STACK = """
name = "made up"
attention = "{attention}"
fuse = {fuse}
block_tokens = 16
kernel_launch = {{ value = "2 us", source = "test" }}
compute_efficiency = {{ value = 0.7, source = "test", status = "fitted" }}
bandwidth_efficiency = {{ value = 0.8, source = "test", status = "fitted" }}
serial_share = {{ value = 0.3, source = "test" }}
chain_per_k = {{ value = "1 ns", source = "test" }}
chain_cap = {{ value = "3 us", source = "test" }}
tile_rows = {{ value = 128, source = "test" }}
tile_columns = {{ value = 128, source = "test" }}
host_per_layer = {{ value = "10 ms", source = "test" }}
collective_latency = {{ value = "10 us", source = "test" }}
[sources.test]
title = "made up for a test"
"""


@pytest.fixture(scope="module", params=["naive", "fused", "paged"])
def stack(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("stacks") / f"{request.param}.toml"
    fuse = '["bias+gelu", "dequantize+linear", "linear+vector"]' if request.param == "paged" else "[]"
    path.write_text(STACK.format(attention=request.param, fuse=fuse))
    return str(path)


def assert_equal(p):
    """In every step, the symbolic work and traffic of every kernel are those of the numeric path."""
    checked = 0
    for symbols, cost in zip(phase_formulas(p), p.costs, strict=True):
        assert symbols.name == cost.name
        for formula, (kernel, _) in zip(symbols.formulas, cost.kernels, strict=True):
            for step in {0, cost.steps // 2, cost.steps - 1}:
                for expression, numeric in ((formula.flops, kernel.flops), (formula.traffic, kernel.moved)):
                    assert symbols.value(expression, step) == pytest.approx(
                        float(of_step(numeric, step)), rel=1e-9, abs=1e-9
                    )
            checked += 1
    assert checked > 5


MODELS = [
    "llama-3.1-8b",
    "mixtral-8x7b",
    "deepseek-v2-lite",
    "gemma-2-9b",
    "gpt2-xl",
    "gpt-oss-20b",
    "falcon-7b",
    "opt-6.7b",
]


@pytest.mark.parametrize("model", MODELS)
def test_formulas_are_the_numbers_under_ideal(model):
    assert_equal(ps.predict(model, JOB, on=H200))


@pytest.mark.parametrize("model", ["llama-3.1-8b", "mixtral-8x7b", "deepseek-v2-lite", "gemma-2-9b"])
def test_formulas_are_the_numbers_under_real_stacks(model, stack):
    assert_equal(ps.predict(model, JOB, on=H200, stack=stack))


@pytest.mark.parametrize("model", ["llama-3.1-8b", "mixtral-8x7b", "deepseek-v2-lite", "gemma-2-9b"])
def test_formulas_are_the_numbers_when_sharded_and_quantised(model, stack):
    using = ["weight-quantization:bits=4", "kv-cache-quantization:format=fp8_e4m3"]
    assert_equal(ps.predict(model, JOB, on=H200, count=4, stack=stack, using=using))


@pytest.mark.parametrize("name", [
    name for name in stack_names() if not ps.stack(name).tiles and "inference" in ps.stack(name).jobs
])
def test_formulas_are_the_numbers_under_every_stack_of_the_catalogue(name):
    gpu = ps.stack(name).suits(ps.device("h100-sxm5-80gb"))
    on = next(on for on in ("h100-sxm5-80gb", "raspberry-pi-5", "stm32h743") if ps.stack(name).suits(ps.device(on)))
    job = JOB.replace(dtype="bf16" if gpu else None)
    p = ps.predict("gpt-oss-20b", job, on=on, count=2 if gpu else 1, stack=name)
    assert_equal(p)
    assert p.explain()


def test_formulas_are_the_numbers_of_one_replica():
    p = ps.predict("llama-3.1-8b", JOB, on=H200, count=8, using=[ps.Parallel(tensor=2, pipeline=2, data=2)])
    assert_equal(p)
    assert phase_formulas(p)[0].values["B"] == 3  # 6 sequences over 2 replicas


def test_formulas_are_the_numbers_with_spread_experts():
    assert_equal(ps.predict("mixtral-8x7b", JOB, on=H200, count=4, using=[ps.Parallel(tensor=4, expert=4)]))


@settings(max_examples=6)
@given(
    batch=st.integers(1, 500), prompt=st.integers(1, 9000), output=st.integers(1, 300),
    model=st.sampled_from(["gemma-2-9b", "mixtral-8x7b", "deepseek-v2-lite"]),
)  # fmt: skip
def test_formulas_are_the_numbers_for_any_job(batch, prompt, output, model):
    job = ps.Inference(prompt_tokens=prompt, output_tokens=output, batch=batch, dtype="bf16")
    assert_equal(ps.predict(model, job, on=H200))


@pytest.mark.parametrize(
    "job", [ps.Prefill(prompt_tokens=77, batch=3, dtype="fp16"), ps.Decode(context_length=5000, dtype="fp16")]
)
def test_formulas_of_single_phases(job):
    p = ps.predict("gemma-2-9b", job, on=H200)
    assert_equal(p)
    (symbols,) = phase_formulas(p)
    assert set(symbols.values) <= {"B", "P", "C"}


def test_a_formula_is_what_one_would_write_down():
    p = ps.predict("llama-3.1-8b", ps.Decode(context_length=4096, batch=8, dtype="bf16"), on=H200)
    (symbols,) = phase_formulas(p)
    formula = next(f for f in symbols.formulas if f.kernel.lead.name == "layer.mlp.down")
    # 2 · 4096 · 14336 FLOP per row, and the residual's addition; 4096 · 14336 weights of 2 bytes
    assert formula_text(formula.flops) == "117444608·B"
    assert 2 * 4096 * 14336 + 4096 == 117444608
    assert formula_text(formula.traffic) == str(2 * 4096 * 14336)


EXPECTED = """layer.mlp.down (linear) in decode of llama-3.1-8b on 1 × h200-sxm-141gb under ideal: 32 execution(s), 782.9 us
  B = 8: sequences per replica
  C = 4096: positions that a decode step sees
numbers:
  {peak}
  {bandwidth}
  stack ideal: every parameter has its perfect value
operators:
  layer.mlp.down (linear): 117440512·B FLOP in bf16 on the tensor unit; 1 product(s) of (B × 14336) by (14336 × 4096)
  layer.mlp_residual.add (add): 4096·B FLOP in bf16 on the vector unit
reads:
  layer.mlp.activation.out: activation B × 1 × 14336 bf16: on chip
  layer.mlp.down.weight: weight 14336 × 4096 bf16: 117440512 byte
  layer.attention_residual.add.out: activation B × 1 × 4096 bf16: on chip
writes:
  layer.mlp_residual.add.out: activation B × 1 × 4096 bf16: on chip
work    = 117444608·B FLOP = 939.6 MFLOP
traffic = 117440512 byte = 117.4 MB
compute = work / (100 % of peak {peak_value}) = 950 ns
memory  = traffic / (100 % of bandwidth 4.8 TB/s) = 24.47 us
time    = launch 0 s + max(compute, memory) 24.47 us = 24.47 us
bound   : memory; bandwidth × 25.8 or peak / 25.8 makes it compute-bound; compute-bound from batch of about 207
total   = × 32 execution(s) × 1 device(s): 30.07 GFLOP, 3.758 GB traffic
"""


def test_the_whole_text_of_one_kernel():
    p = ps.predict("llama-3.1-8b", ps.Decode(context_length=4096, batch=8, dtype="bf16"), on=H200)
    device = p.system.device
    lines = {}
    for name, path in (("peak", "compute.tensor.bf16"), ("bandwidth", "memory.hbm.bandwidth")):
        datum = device.datum(path)
        note = f"; {datum.note}" if datum.note else ""
        lines[name] = f"device.{path} = {datum} ({datum.status}; {device.sources[datum.source]}{note})"
    expected = EXPECTED.format(**lines, peak_value=device.datum("compute.tensor.bf16"))
    assert p.explain(operator="layer.mlp.down") == expected
    assert p.explain(operator="mlp.down") == expected  # the region may be left out
    assert p.explain(operator="mlp_residual.add") == expected  # an operator inside the kernel names it, too


def test_the_batch_of_the_crossing_is_right():
    def bound(batch):
        p = ps.predict("llama-3.1-8b", ps.Decode(context_length=4096, batch=batch, dtype="bf16"), on=H200)
        return next(row.bound for row in p.operators if row.name == "layer.mlp.down")

    assert bound(206) == "memory"  # 117440512 B / 4.8 TB/s against 117440512·batch FLOP / 989 TFLOP/s: batch 206.04
    assert bound(207) == "compute"


def test_the_crossing_sees_whole_tiles(stack):
    p = ps.predict("llama-3.1-8b", ps.Decode(context_length=512, batch=8, dtype="bf16"), on=H200, stack=stack)
    symbols = phase_formulas(p)[0]
    formula = next(f for f in symbols.formulas if f.kernel.lead.name == "layer.mlp.gate_up")
    text = moves(p, formula, symbols, 0, "memory")
    at = int(text.removeprefix("compute-bound from batch of about "))

    def bound(batch):
        job = ps.Decode(context_length=512, batch=batch, dtype="bf16")
        return next(
            r.bound for r in ps.predict("llama-3.1-8b", job, on=H200, stack=stack).operators if "gate_up" in r.name
        )

    assert (bound(at - 1), bound(at)) == ("memory", "compute")


def test_every_row_can_be_explained(stack):
    p = ps.predict("gemma-2-9b", JOB, on=H200, count=2, stack=stack)
    assert "host" in {row.name for row in p.operators}
    for row in p.operators:
        assert row.name in p.explain(row.phase, row.name)


def test_the_time_formula_adds_up(stack):
    p = ps.predict("mixtral-8x7b", JOB, on=H200, count=2, stack=stack)
    for phase in p.costs:
        text = p.explain(phase.name)
        assert text.count("time    = launch") == len(phase.kernels)
        assert text.splitlines()[-1].endswith(f" = {ps_time(phase.runtime)}")


def ps_time(value):
    from perfsim.quantities.units import DIMENSIONS, format_quantity

    return format_quantity(value, DIMENSIONS["time"])


def test_all_phases_by_default():
    p = ps.predict("gpt2", JOB, on=H200)
    assert p.explain() == p.explain("prefill") + "\n" + p.explain("decode")


def test_unknown_names():
    p = ps.predict("gpt2", JOB, on=H200)
    with pytest.raises(UnknownNameError) as error:
        p.explain("decoding")
    assert str(error.value) == 'unknown phase "decoding"; did you mean decode?'
    with pytest.raises(UnknownNameError) as error:
        p.explain(operator="layer.mlp.dawn")
    close = 'unknown operator "layer.mlp.dawn"; did you mean layer.mlp.down'
    assert str(error.value).startswith(close)


def test_what_ifs_are_named_as_such():
    p = ps.predict("gpt2", JOB, on=H200, what_if={"device.memory.main.bandwidth": "6 TB/s"})
    assert "device.memory.hbm.bandwidth = 6 TB/s (what-if; set by the user)" in p.explain("decode")


def test_middle_values_of_arrays_stay_exact():
    assert of_step(np.array([1.0, 2.0, 3.0]), 1) == 2
    assert isinstance(of_step(np.array([1.0, 2.0, 3.0]), 1), int)
    assert of_step(np.array([7.5]), 5) == 7.5
    assert formula_text(sympy.Symbol("B") ** 2 * 3) == "3·B^2"
