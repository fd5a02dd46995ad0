"""Utilisations and ideal runtimes keep to their bounds, in one number format and in several."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfsim as ps
from perfsim.quantities.numbers import at_most

H100 = "h100-sxm5-80gb"
LONG = ps.Prefill(batch=8, prompt_tokens=1024, dtype="bf16")


def test_utilisation_in_one_format_is_work_over_peak():
    p = ps.predict("llama-3.1-8b", LONG, on=H100, count=2, stack="vllm")
    work = sum(phase.total("matrix_flops") for phase in p.costs) * 2
    assert p.mfu == pytest.approx(work / (989.4e12 * 2 * p.runtime), rel=1e-3)
    assert p.mfu == pytest.approx(work / (p.peak * 2 * p.runtime), rel=1e-12)


def test_products_in_two_formats_count_at_the_peak_of_theirs():
    """Products of the layers in int8 at twice the bf16 peak, head and attention in bf16: none is above its peak."""
    p = ps.predict("llama-3.1-8b", LONG, on=H100, using=["weight-activation-quantization"])
    by_format = {"int8": 0.0, "bf16": 0.0}
    for cost, count in p.costs[0].kernels:
        by_format[cost.dtype.name] += cost.matrix_flops * count
    assert by_format["int8"] > by_format["bf16"] > 0
    device = p.system.device
    at_peak = sum(flops / device.get(f"compute.tensor.{name}") for name, flops in by_format.items())
    assert p.mfu == pytest.approx(at_peak / p.runtime, rel=1e-12)
    assert 0.9 < p.mfu <= 1
    assert sum(by_format.values()) / (p.peak * p.runtime) > 1.9  # what counting all at the bf16 peak would say


def test_skipped_zeros_are_not_counted_as_done():
    p = ps.predict("llama-3.1-8b", LONG, on=H100, using=["semi-structured-sparsity"])
    assert 0.9 < p.mfu <= 1
    assert max(row.computational_efficiency or 0 for row in p.operators) <= 1 + 1e-12


@given(
    st.sampled_from(["gpt2", "mixtral-8x7b", "resnet50"]), st.sampled_from([H100, "t4", "xeon-8380", "raspberry-pi-4"]),
    st.integers(1, 70), st.sampled_from(["ideal", "vllm", "pytorch-compile", "onnxruntime-cpu"]),
)  # fmt: skip
def test_no_bound_is_passed_by_rounding(model, device, batch, stack):
    job = ps.SinglePass(batch=batch) if model == "resnet50" else ps.Decode(batch=batch, context_length=17 * batch)
    try:
        p = ps.predict(model, job, on=device, stack=stack)
    except ps.PerfsimError:
        return
    assert 0 < p.mbu <= 1
    assert 0 < p.mfu <= 1
    assert p.ideal_runtime <= p.runtime


def test_only_rounding_is_cut():
    assert at_most(1 + 2e-16, 1.0) == at_most(1 + 9e-13, 1.0) == 1.0
    assert (at_most(1.001, 1.0), at_most(0.5, 1.0)) == (1.001, 0.5)  # a mistake shows


def test_a_step_that_only_reads_memory_uses_all_of_it():
    assert ps.predict("llama-3.1-8b", ps.Decode(batch=8, context_length=1024), on=H100).mbu == 1.0
