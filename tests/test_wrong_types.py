"""Arguments of another type than expected: one error of perfsim that names what was given and what was expected."""

import pytest

import perfsim as ps
from perfsim.errors import InputError

MODEL, DEVICE, JOB = "gpt2", "l4", ps.Inference(dtype="bf16")
NAMED = "expected a catalogue name or the path of a file as text, or a"
WRONG = [None, 3, 3.5, b"x", {}, object()]


def refusal(call):
    with pytest.raises(InputError) as error:
        call()
    return str(error.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ps.model(None), f"model=None is NoneType, {NAMED} Model"),
        (lambda: ps.device(3), f"device=3 is int, {NAMED} Device"),
        (lambda: ps.stack(["vllm"]), f"stack=['vllm'] is list, {NAMED} Stack"),
        (lambda: ps.predict(None, JOB, DEVICE), f"model=None is NoneType, {NAMED} Model"),
        (lambda: ps.predict(MODEL, JOB, None), f"device=None is NoneType, {NAMED} Device"),
        (lambda: ps.predict(MODEL, JOB, DEVICE, using=None),
         "using=None is NoneType, expected a list, e.g. using=[\"weight-quantization:bits=4\"]"),
        (lambda: ps.predict(MODEL, JOB, DEVICE, what_if=[1]),
         "what_if=[1] is list, expected quantities by path, e.g. {\"stack.kernel_launch\": \"x0.5\"}"),
        (lambda: ps.predict(MODEL, JOB, DEVICE, region=3),
         "region=3 is int, expected the name of one as text, e.g. \"FRA\""),
        (lambda: ps.predict(MODEL, JOB, DEVICE, pue=[1]), "pue=[1] is list, expected a number from 1, or a name"),
        (lambda: ps.compare(MODEL, JOB, DEVICE, variants=[3]),
         "variant=3 is int, expected a text such as \"stack=vllm\", or a mapping"),
        (lambda: ps.sweep(MODEL, JOB, DEVICE, vary=3),
         "vary=3 is int, expected lists of values by path, e.g. {\"stack.kernel_launch\": [\"x0.5\"]}"),
        (lambda: ps.sweep(MODEL, JOB, DEVICE, along=["batch"]),
         "along='batch' is str, expected axes, e.g. from perfsim.sweeps.zipped"),
        (lambda: ps.Inference(dtype=3), "dtype=3 is int, expected the name of a number format, e.g. \"bf16\""),
        (lambda: ps.solve("batch", so_that="fits", model=MODEL, job=JOB, on=3), f"device=3 is int, {NAMED} Device"),
        (lambda: ps.solve(3, so_that="fits", model=MODEL, job=JOB, on=DEVICE),
         "find=3 is int, expected the name of a quantity, e.g. batch or device.memory.main.bandwidth"),
        (lambda: ps.solve("batch", so_that="fits", model=MODEL, job=JOB, on=DEVICE, between=(1, 2, 3)),
         "between=(1, 2, 3): 3 ends, expected two, e.g. (1, 64)"),
        (lambda: ps.duty_cycle(3, frame_rate=1), "prediction=3 is int, expected what perfsim.predict returns"),
    ],
)  # fmt: skip
def test_what_was_given_and_what_was_expected(call, message):
    assert refusal(call) == message


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: type(value).__name__)
def test_no_python_error_escapes(wrong):
    """Every function that predicts, with each of its main arguments of a wrong type."""
    for function, more in (
        (ps.predict, {}), (ps.compare, {}), (ps.sweep, {}), (ps.largest_batch, {}),
        (ps.ledger, {"using": ["weight-quantization"]}),
    ):  # fmt: skip
        assert "expected" in refusal(lambda f=function, m=more: f(wrong, JOB, DEVICE, **m))
        assert "expected" in refusal(lambda f=function, m=more: f(MODEL, wrong, DEVICE, **m))
        assert "expected" in refusal(lambda f=function, m=more: f(MODEL, JOB, wrong, **m))
        assert "expected" in refusal(lambda f=function, m=more: f(MODEL, JOB, DEVICE, **{**m, "stack": wrong}))
    for kind in (ps.Inference, ps.Prefill, ps.Decode, ps.SinglePass, ps.Diffusion):
        if wrong != 3:
            assert "expected" in refusal(lambda k=kind: k(batch=wrong))
        if wrong is not None:
            assert "expected" in refusal(lambda k=kind: k(dtype=wrong))


def test_long_values_are_cut():
    assert len(refusal(lambda: ps.device(["x" * 1000] * 1000))) < 300
