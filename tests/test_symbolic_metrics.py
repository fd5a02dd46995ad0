"""Metrics as formulas: equal to predictions, and to derivatives by differences."""

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import perfsim as ps
from perfsim.errors import InputError
from perfsim.sweeps import elasticities

BANDWIDTH, PEAK = "device.memory.hbm.bandwidth", "device.compute.tensor.bf16"
DECODE = {"model": "llama-3.1-8b", "job": ps.Decode(batch=8, context_length=2048, dtype="bf16"), "on": "h100-sxm5-80gb"}
SYMBOLS = ["batch", "context_length", BANDWIDTH, PEAK]


@pytest.fixture(scope="module", params=["ideal", "vllm"])
def decode(request):
    ranges = {"batch": (1, 512), "context_length": (64, 65536), BANDWIDTH: (1e12, 1e13), PEAK: None}
    return request.param, ps.symbolic("runtime", symbols=ranges, stack=request.param, **DECODE)


@settings(max_examples=10, deadline=None)
@given(batch=st.integers(1, 512), context=st.integers(64, 65536), bandwidth=st.floats(1e12, 1e13))
def test_a_formula_gives_what_a_prediction_gives(decode, batch, context, bandwidth):
    stack, found = decode
    if stack != "ideal":
        return
    job = DECODE["job"].replace(batch=batch, context_length=context)
    p = ps.predict("llama-3.1-8b", job, "h100-sxm5-80gb", stack=stack, what_if={BANDWIDTH: bandwidth})
    at = {"batch": batch, "context_length": context, BANDWIDTH: bandwidth}
    assert float(found.at(at)) == pytest.approx(p.runtime, rel=1e-9)


def test_pieces_are_equal_where_they_were_made(decode):
    stack, found = decode
    p = ps.predict(*(DECODE[k] for k in ("model", "job", "on")), stack=stack)
    assert found.number(found.piece) == pytest.approx(p.runtime, rel=1e-9)


@pytest.mark.parametrize("metric", ["runtime", "tpot", "cost", "energy", "memory_total", "mfu"])
def test_other_metrics(metric):
    asked = {**DECODE, "job": ps.Inference(batch=4, prompt_tokens=512, output_tokens=8, dtype="bf16")}
    found = ps.symbolic(metric, symbols={"batch": (2, 6), BANDWIDTH: (3e12, 4e12)}, **asked)
    p = ps.predict(*(asked[k] for k in ("model", "job", "on")))
    expected = p.memory.total if metric == "memory_total" else getattr(p, metric)
    assert found.number(found.piece) == pytest.approx(expected, rel=1e-9)
    assert float(found.at()) == pytest.approx(expected, rel=1e-9)


def test_derivatives_are_those_by_differences(decode):
    stack, found = decode
    numeric = {e.quantity: e.value for e in elasticities("runtime", to=[BANDWIDTH, PEAK], stack=stack, **DECODE)}
    for name in (BANDWIDTH, PEAK):
        assert found.number(found.elasticity(name)) == pytest.approx(numeric.get(name, 0.0), abs=1e-4)
    rise = (float(found.at({"batch": 9})) - float(found.at({"batch": 7}))) / 2 if stack == "ideal" else None
    assert rise is None or found.number(found.derivative("batch")) == pytest.approx(rise, rel=1e-9)


def test_a_memory_bound_step_is_its_traffic_over_the_bandwidth():
    found = ps.symbolic("runtime", symbols=[BANDWIDTH], **DECODE)
    p = ps.predict(*(DECODE[k] for k in ("model", "job", "on")))
    assert sympy.simplify(found.piece * found.symbols[BANDWIDTH]) == pytest.approx(p.traffic, rel=1e-12)


def test_the_ridge_of_a_linear_layer():
    found = ps.symbolic("runtime", symbols=SYMBOLS, **DECODE)
    ridges = found.ridges("batch")
    # 4096 → 2·14336, features stay on chip: 2·4096·28672·B / peak = 2·4096·28672 / bandwidth
    assert found.number(ridges["decode", "layer.mlp.gate_up"]) == pytest.approx(989e12 / 3.35e12, rel=0.01)
    assert ridges["decode", "layer.mlp.gate_up"].free_symbols == {found.symbols[BANDWIDTH], found.symbols[PEAK]}


def test_arrays_and_latex():
    found = ps.symbolic("runtime", symbols={"batch": (1, 64)}, **DECODE)
    values = found.at({"batch": np.array([1, 8, 64])})
    assert values.shape == (3,)
    assert values[1] == pytest.approx(ps.predict(*(DECODE[k] for k in ("model", "job", "on"))).runtime, rel=1e-9)
    assert found.latex().startswith(r"\mathrm{runtime} = ")
    assert "B" in found.latex()


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        (["count"], "count makes another plan with every value; symbols are batch, prompt_tokens"),
        ({"batch": (16, 64)}, "batch: its present value 8 lies outside 16 to 64; state a range around it"),
    ],
)
def test_what_cannot_be_a_symbol(symbols, message):
    with pytest.raises(InputError) as caught:
        ps.symbolic("runtime", symbols=symbols, **DECODE)
    assert str(caught.value).startswith(message)


def test_formulas_hold_in_their_ranges_only():
    found = ps.symbolic("runtime", symbols={"batch": (4, 16)}, **DECODE)
    with pytest.raises(InputError, match="batch: 17 lies outside 4 to 16, where the formula holds"):
        found.at({"batch": 17})
