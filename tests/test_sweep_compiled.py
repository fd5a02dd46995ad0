"""The compiled machine says the same as numpy, bit for bit, whatever the expressions and the axes."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import perfsim as ps
from perfsim.quantities.numbers import ceil_div, maximum, minimum, where
from perfsim.quantities.recorder import Tape
from perfsim.sweeps import plan_sweep
from perfsim.sweeps.program import FUNCTIONS, Box, Program
from perfsim.workloads import Inference

numba = pytest.importorskip("numba")
from perfsim.sweeps import machine  # noqa: E402 - needs numba
from perfsim.sweeps.compiled import evaluate_compiled  # noqa: E402

OPERATIONS = (
    lambda a, b, _: a + b,
    lambda a, b, _: a - b,
    lambda a, b, _: a * b,
    lambda a, b, _: a / b,  # by nothing, too: infinite, or no number
    lambda a, b, _: maximum(a, b),
    lambda a, b, _: minimum(a, b),
    lambda a, b, _: ceil_div(a, b),
    lambda a, _, __: round(a) if hasattr(a, "recorded") else a,
    lambda a, b, c: where((a < b) | (b == c), c, a),
    lambda a, b, c: where((a <= b) & (b != c), a, c),
)


@st.composite
def programs(draw):
    """Expressions of leaves along up to four dimensions, and a box of them."""
    sizes = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 7, 40]), min_size=1, max_size=4)))
    sizes = tuple(1100 if d == 0 and len(sizes) == 1 else n for d, n in enumerate(sizes))
    tape, random = Tape(), np.random.default_rng(draw(st.integers(0, 99)))
    columns, values = {}, [2, 0.5]
    for name in "abcde"[: draw(st.integers(1, 5))]:
        d = draw(st.integers(-1, len(sizes) - 1))
        columns[name] = (d, random.integers(-3, 4, sizes[d] if d >= 0 else 1) / 2)
        values.append(tape.leaf(name, -1.5, 1.5))
    for _ in range(draw(st.integers(1, 60))):
        with suppress(ZeroDivisionError):  # of two constants
            values.append(draw(st.sampled_from(OPERATIONS))(*(draw(st.sampled_from(values[-12:])) for _ in range(3))))
    chosen = draw(st.lists(st.sampled_from(values), min_size=1, max_size=5))
    outputs = {f"it{i}": value for i, value in enumerate(chosen)}
    return Program({**outputs, "true": values[2] < 0.25}), Box(sizes, columns)


@settings(max_examples=60, deadline=None)
@given(programs(), st.integers(1, 3))
def test_the_machine_says_what_numpy_says(asked, threads):
    program, box = asked
    expected, found = program.evaluate(box), evaluate_compiled(program, box, threads)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_every_operation_of_programs_is_known_to_the_machine():
    assert set(machine.NUMBERS) == set(FUNCTIONS)
    assert len({*machine.NUMBERS.values(), machine.SPLAT, machine.SPREAD, machine.STORE}) == len(FUNCTIONS) + 3


@given(st.sampled_from(["floordiv", "mod", "pow"]), st.floats(0.5, 50), st.floats(0.5, 50))
@example("mod", 7.5, 2.5)
def test_rare_operations(op, first, second):
    tape = Tape()
    a, b = tape.leaf("a", 0.5, 50), tape.leaf("b", 0.5, 50)
    box = Box((2,), {"a": (0, [first, second]), "b": (-1, [second])})
    program = Program({"it": a.record(op, a, b)} if op != "mod" else {"it": a % b})
    np.testing.assert_allclose(evaluate_compiled(program, box, 1)["it"], program.evaluate(box)["it"], rtol=1e-14)


def test_whole_requests_are_the_same_bit_for_bit():
    vary = {"device.memory.main.bandwidth": np.linspace(1e12, 4e12, 70).tolist(), "stack.kernel_launch": [0.0, 1e-5]}
    plans = [
        plan_sweep(
            "llama-3.1-70b", Inference(output_tokens=300, dtype="bf16"), "h100-sxm5-80gb", stack="vllm", count=8,
            batch=[1, 5, 30], prompt_tokens=[99, 1000, 7000], compiled=compiled, workers=2,
            vary=vary,
        )
        for compiled in (False, True)
    ]  # fmt: skip
    plain, compiled = (plan.evaluate() for plan in plans)
    for name, value in plain.items():
        np.testing.assert_array_equal(compiled[name], value)


def test_the_machine_needs_no_place_on_disk(monkeypatch):
    plain = numba.njit

    def refusing(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return plain(**options)

    monkeypatch.setattr(numba, "njit", refusing)
    assert machine._made(lambda x: x + 1)(2) == 3


def test_without_numba_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("perfsim.sweeps.compiled.is_there", lambda: False)
    with pytest.raises(ps.PerfsimError) as caught:
        ps.sweep("gpt2", Inference(dtype="fp16"), "l4", batch=[1, 2], compiled=True)
    assert str(caught.value) == "compiled=True needs numba; install it with: pip install perfsim[compiled]"
