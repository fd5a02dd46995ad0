"""Units, number formats, and the functions that know carriers."""

import math

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from perfsim.errors import UnitError, UnknownNameError
from perfsim.quantities.dimensions import DIMENSIONLESS, Dimension
from perfsim.quantities.dtypes import DTYPES, dtype
from perfsim.quantities.numbers import ceil_div, maximum, minimum, over_steps, power, where
from perfsim.quantities.units import DIMENSIONS, Quantity, format_quantity, parse, parse_as


@pytest.mark.parametrize(
    ("text", "value", "dimension"),
    [
        ("3.35 TB/s", 3.35e12, "bandwidth"),
        ("80 GiB", 80 * 2**30, "capacity"),
        ("80 GB", 80e9, "capacity"),
        ("1 Gbit/s", 0.125e9, "bandwidth"),  # 8 bit are a byte
        ("2.6 us", 2.6e-6, "time"),
        ("2.6 µs", 2.6e-6, "time"),
        ("1.5 min", 90.0, "time"),
        ("989.4 TFLOP/s", 989.4e12, "peak"),
        ("624 TOP/s", 624e12, "peak"),  # vendors count integer operations
        ("56 pJ/byte", 56e-12, "energy_per_byte"),
        ("1 kWh", 3.6e6, "energy"),
        ("700 W", 700.0, "power"),
        ("1.41 GHz", 1.41e9, "frequency"),
        ("3.6 USD/h", 0.001, "price"),  # 3.6 / 3600 s
        ("475 g/kWh", 0.475 / 3.6e6, "carbon_intensity"),
        ("1.2V", 1.2, "voltage"),
        ("7 nm", 7e-9, "length"),
        ("75 %", 0.75, "ratio"),
        ("0.75", 0.75, "ratio"),
        ("1_000 s", 1000.0, "time"),
        ("-2 s", -2.0, "time"),
        (".5 s", 0.5, "time"),
        ("1e-3 s", 0.001, "time"),
    ],
)
def test_text_becomes_si(text, value, dimension):
    quantity = parse(text)
    assert quantity.value == pytest.approx(value, rel=1e-15)
    assert quantity.dimension == DIMENSIONS[dimension]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast", '"fast" is not a quantity; expected a number and a unit, e.g. "3.35 TB/s"'),
        ("", '"" is not a quantity; expected a number and a unit, e.g. "3.35 TB/s"'),
        ("nan s", '"nan s" is not a quantity; expected a number and a unit, e.g. "3.35 TB/s"'),
        ("1e999 s", '"1e999 s" is not finite; expected a finite number'),
        (
            "3 parsec",
            'unknown unit "parsec"; known: %, B, FLOP, Hz, J, OP, USD, V, W, Wh, bit, byte, cycle, day, g, h, m, '
            "min, s, token, with prefixes k M G T P m u n p f Ki Mi Gi Ti",
        ),
        ("3 GiFLOP", 'unknown unit "GiFLOP"; did you mean GFLOP?'),  # binary prefixes belong to bytes
        ("2 PFLOPS", 'unknown unit "PFLOPS"; did you mean PFLOP/s?'),
        ("2 PFLOPs", 'unknown unit "PFLOPs"; did you mean PFLOP?'),
        ("40 TOPS", 'unknown unit "TOPS"; did you mean TOP/s?'),
        ("100 Gbps", 'unknown unit "Gbps"; did you mean Gbit/s?'),
        ("3 TBps", 'unknown unit "TBps"; did you mean TB/s?'),
        ("5 mw", 'unknown unit "mw"; did you mean MW or mW?'),  # either can be meant
    ],
)
def test_what_is_no_quantity_is_refused(text, message):
    with pytest.raises(UnitError) as refusal:
        parse(text)
    assert str(refusal.value) == message


def test_a_wrong_dimension_is_named():
    with pytest.raises(UnitError) as refusal:
        parse_as("3.35 GB", DIMENSIONS["bandwidth"])
    assert str(refusal.value) == '"3.35 GB" is [byte], expected [byte/s]'
    assert parse_as("0", DIMENSIONS["bandwidth"]) == 0.0  # zero has every dimension


@given(st.sampled_from(sorted(DIMENSIONS)), st.floats(1e-12, 1e18), st.integers(2, 12))
def test_parse_reads_what_format_wrote(name, value, digits):
    dimension = DIMENSIONS[name]
    again = parse(format_quantity(value, dimension, digits))
    assert again.dimension == dimension
    assert again.value == pytest.approx(value, rel=0.51 * 10.0 ** (1 - digits))  # half a unit of the last digit


def test_format_picks_a_readable_prefix():
    shown = [
        (3.35e12, "bandwidth", "3.35 TB/s"),
        (8e10, "capacity", "80 GB"),
        (2.6e-6, "time", "2.6 us"),
        (0.0, "time", "0 s"),
        (4.096 / 3600, "price", "4.096 USD/h"),
        (1.41e9, "frequency", "1.41 GHz"),
        (0.5, "ratio", "0.5"),
    ]
    assert [format_quantity(v, DIMENSIONS[d]) for v, d, _ in shown] == [text for _, _, text in shown]
    assert str(Quantity(5.6e-11, DIMENSIONS["energy_per_byte"])) == "56 pJ/byte"


def test_dimensions_multiply():
    byte, s = Dimension.of(byte=1), Dimension.of(s=1)
    assert byte / s == DIMENSIONS["bandwidth"]
    assert byte / s * s == byte
    assert (byte / s) ** -1 == s / byte
    assert byte / byte == DIMENSIONLESS
    shown = [str(d) for d in (byte / s, DIMENSIONLESS, s**-1, s**2 / byte)]
    assert shown == ["[byte/s]", "[1]", "[1/s]", "[s^2/byte]"]


def test_sizes_of_number_formats():
    bits = {
        "fp64": 64,
        "fp32": 32,
        "tf32": 32,
        "bf16": 16,
        "fp16": 16,
        "fp8_e4m3": 8,
        "fp6": 6,
        "fp4": 4,
        "int8": 8,
        "int4": 4,
    }
    assert {name: DTYPES[name].bits for name in bits} == bits
    assert DTYPES["fp16"].nbytes(10) == 20
    assert DTYPES["int4"].nbytes(3) == 2  # 12 bits fill 2 bytes
    assert DTYPES["fp6"].nbytes(4) == 3  # 24 bits
    assert dtype("fp8") is DTYPES["fp8_e4m3"]
    assert dtype("bfloat16") is DTYPES["bf16"]
    assert dtype(DTYPES["int8"]) is DTYPES["int8"]


def test_an_unknown_format_lists_the_closest():
    with pytest.raises(UnknownNameError) as refusal:
        dtype("bf17")
    assert str(refusal.value) == 'unknown dtype "bf17"; did you mean bf16 or fp16?'


NUMBERS = st.integers(0, 10**6) | st.floats(0, 1e6, allow_nan=False)


@given(NUMBERS, NUMBERS)
def test_carriers_agree_on_the_larger_and_the_smaller(a, b):
    x, y = sympy.symbols("x y")
    for ours, plain in ((maximum, max), (minimum, min)):
        expected = plain(a, b)
        assert ours(a, b) == expected
        assert ours(np.array([a, b], dtype=float), float(b)).tolist() == [expected, b]
        assert ours(float(a), np.array([b], dtype=float)).tolist() == [expected]
        assert float(ours(x, y).subs({x: a, y: b})) == pytest.approx(float(expected))
        assert float(ours(sympy.Float(a), b)) == pytest.approx(float(expected))


@given(st.integers(0, 10**6), st.integers(1, 10**4))
def test_carriers_agree_on_rounding_up(a, b):
    x, y = sympy.symbols("x y", positive=True)
    expected = math.ceil(a / b)  # exact: below 2^53
    assert ceil_div(a, b) == expected
    assert isinstance(ceil_div(a, b), int)
    assert ceil_div(float(a), b) == expected
    assert ceil_div(np.array([a, a + b], dtype=float), b).tolist() == [expected, expected + 1]
    assert ceil_div(x, y).subs({x: a, y: b}) == expected


def test_rounding_up_is_exact_where_floats_are_not():
    assert ceil_div(10**18 + 1, 10) == 10**17 + 1  # float division would lose the 1


@given(st.integers(-5, 5), st.floats(-9, 9), st.floats(-9, 9))
def test_carriers_agree_on_a_choice(value, yes, no):
    x = sympy.Symbol("x")
    expected = yes if value > 0 else no
    assert where(value > 0, yes, no) == expected
    assert where(np.bool_(value > 0), yes, no) == expected
    assert where(np.array([value, 1]) > 0, yes, no).tolist() == [expected, yes]
    assert float(where(x > 0, yes, no).subs(x, value)) == pytest.approx(expected)


def test_more_than_two_arguments():
    assert maximum(1, 7, 3) == 7
    assert minimum(4, 2.5, 3) == 2.5
    assert maximum(np.array([1.0, 9.0]), 4, 5).tolist() == [5.0, 9.0]


def test_unlike_carriers_are_refused():
    with pytest.raises(TypeError) as refusal:
        maximum("a", 1)
    assert str(refusal.value) == "cannot compare str with int"


def test_totals_over_steps():
    assert over_steps(3, 4) == 12
    assert over_steps(np.array([1.0, 2.0, 3.0]), 3) == 6.0  # a sum over the positions
    assert over_steps(np.array([2.0]), 5) == 10.0  # one value stands for all steps
    assert over_steps(np.array([[1.0, 2.0], [3.0, 4.0]]), 2).tolist() == [3.0, 7.0]


def test_powers_of_integers_do_not_overflow():
    assert power(2, 100) == 2.0**100
    assert isinstance(power(10, 30), float)
