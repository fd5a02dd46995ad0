"""Every formula of ``perfsim/costs`` carries dimensions: right ones give the right one, mixed ones are refused."""

import inspect
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsim.costs import collectives, energy, hierarchy, matrix, money, phase, pipeline, roofline, throttle
from perfsim.devices import Link
from perfsim.errors import UnitError
from perfsim.ops import AllGather, AllReduce
from perfsim.quantities.dimensions import DIMENSIONLESS, Dimension, Traced
from perfsim.quantities.numbers import ceil_div, maximum, minimum, where

S = Dimension.of(s=1)
FLOP, BYTE, JOULE, USD = (Dimension.of(**{unit: 1}) for unit in ("FLOP", "byte", "J", "USD"))
PEAK, BANDWIDTH, WATT, PRICE = FLOP / S, BYTE / S, JOULE / S, USD / S
KG_PER_JOULE = Dimension.of(kg=1, J=-1)


@dataclass(frozen=True)
class Formula:
    """A function, the dimensions of its arguments, the dimension of its result, and how to make its arguments."""

    function: object
    arguments: dict
    result: Dimension
    mixed: str  # an argument that must be refused when its dimension is wrong

    def __call__(self, dimensions):
        values = {name: Traced(9.0 - i, d) for i, (name, d) in enumerate(dimensions.items())}
        return self.function(**values)


def kernel_runtime(*, launch, compute, memory, serial_share):
    return roofline.kernel_runtime(launch=launch, activities=(compute, memory), serial_share=serial_share)


def collective(group):
    def runtime(*, nbytes, bandwidth, outer, efficiency, latency):
        inner, far = Link("in", bandwidth, 0.0, 8), Link("out", outer, 0.0, 64)
        op = AllReduce("reduce", ("x",), ("y",), group=group)
        return collectives.collective_runtime(
            op, nbytes, inner=inner, outer=far, efficiency=efficiency, latency=latency
        )

    return runtime


ONE = DIMENSIONLESS
def visible_runtime(*, beside, kernels):
    """Transfers that hide behind half of the kernels' time."""
    return pipeline.visible_runtime(beside=beside, kernels=kernels, overlap=0.5)


FORMULAS = {
    "roofline": Formula(
        roofline.roofline_runtime, {"flops": FLOP, "traffic": BYTE, "peak": PEAK, "bandwidth": BANDWIDTH}, S, "peak"
    ),
    "ridge point": Formula(roofline.ridge_point, {"peak": PEAK, "bandwidth": BANDWIDTH}, FLOP / BYTE, ""),
    "reduction chain": Formula(roofline.reduction_chain, {"k": ONE, "per_k": S, "cap": S}, S, "cap"),
    "kernel": Formula(kernel_runtime, {"launch": S, "compute": S, "memory": S, "serial_share": ONE}, S, "memory"),
    "link": Formula(collectives.link_runtime, {"volume": BYTE, "bandwidth": BANDWIDTH, "latency": S}, S, "latency"),
    "collective inside a domain": Formula(
        collective(8),
        {"nbytes": BYTE, "bandwidth": BANDWIDTH, "outer": BANDWIDTH, "efficiency": ONE, "latency": S},
        S,
        "latency",
    ),
    "collective over domains": Formula(
        collective(16),
        {"nbytes": BYTE, "bandwidth": BANDWIDTH, "outer": BANDWIDTH, "efficiency": ONE, "latency": S},
        S,
        "outer",
    ),
    "levels": Formula(
        hierarchy.memory_runtime,
        {"main": BYTE, "total": BYTE, "bandwidth": BANDWIDTH, "cache_bandwidth": BANDWIDTH},
        S,
        "cache_bandwidth",
    ),
    "tiles": Formula(
        matrix.executed_products,
        dict.fromkeys(("batch", "m", "n", "k", "tile_rows", "tile_columns", "units"), ONE),
        ONE,
        "m",
    ),
    "depth": Formula(matrix.padded_depth, dict.fromkeys(("depth", "multiple"), ONE), ONE, "multiple"),
    "visible transfers": Formula(visible_runtime, {"beside": S, "kernels": S}, S, "kernels"),
    "rows": Formula(roofline.row_runtime, {"rows": ONE, "row_time": S, "units": ONE}, S, ""),
    "winograd": Formula(matrix.winograd_share, {"tile": ONE}, ONE, "tile"),
    "cores": Formula(matrix.core_sharing, {"units": ONE, "contention": ONE}, ONE, "units"),
    "transforms": Formula(
        matrix.transform_products, dict.fromkeys(("m", "depth", "n", "tile_transform"), ONE), ONE, ""
    ),
    "setup": Formula(matrix.setup_products, dict.fromkeys(("batch", "m", "tile_setup"), ONE), ONE, ""),
    "energy of operations": Formula(energy.dynamic_energy, {"work": FLOP, "energy": JOULE / FLOP}, JOULE, ""),
    "energy of bytes": Formula(energy.dynamic_energy, {"work": BYTE, "energy": JOULE / BYTE}, JOULE, ""),
    "slots": Formula(energy.issue_slots, {"busy": S, "peak": PEAK}, FLOP, ""),
    "energy at the rated limit": Formula(
        energy.rated_energy, {"dynamic": JOULE, "rated": JOULE, "budget": WATT, "runtime": S}, JOULE, "budget"
    ),
    "power limit": Formula(
        throttle.power_stretch, {"dynamic": JOULE, "limit": WATT, "busy": WATT, "runtime": S}, ONE, "busy"
    ),
    "money": Formula(money.cost_of, {"runtime": S, "devices": ONE, "price": PRICE}, USD, ""),
    "electricity": Formula(money.electricity_of, {"energy": JOULE, "pue": ONE, "price": USD / JOULE}, USD, ""),
    "carbon": Formula(
        money.carbon_of, {"energy": JOULE, "pue": ONE, "intensity": KG_PER_JOULE}, Dimension.of(kg=1), ""
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_right_dimensions_give_the_right_one(name):
    formula = FORMULAS[name]
    result = formula(formula.arguments)
    assert result.dimension == formula.result
    assert result.value > 0


@pytest.mark.parametrize("name", [n for n, f in FORMULAS.items() if f.mixed])
def test_mixed_dimensions_are_refused(name):
    formula = FORMULAS[name]
    wrong = formula.arguments | {formula.mixed: Dimension.of(V=1)}  # volts belong into none of these
    with pytest.raises(UnitError):
        formula(wrong)


@pytest.mark.parametrize("name", [n for n, f in FORMULAS.items() if not f.mixed])
def test_pure_products_show_a_wrong_dimension_in_their_result(name):
    formula = FORMULAS[name]
    first = next(iter(formula.arguments))
    assert formula(formula.arguments | {first: Dimension.of(V=1)}).dimension != formula.result


HOST = dict.fromkeys(("layers", "collectives", "kernels", "tokens", "sequences"), ONE)  # counts; all else is a time


@pytest.mark.parametrize("function", [phase.host_runtime, phase.step_runtime, phase.frame_runtime])
def test_times_of_the_host_add_up_to_a_time(function):
    names = list(inspect.signature(function).parameters)
    times = {name: HOST.get(name, S) for name in names}
    result = function(**{name: Traced(2.0, d) for name, d in times.items()})
    assert result.dimension == S
    for name in names:
        wrong = times | {name: Dimension.of(V=1)}
        with pytest.raises(UnitError):
            function(**{n: Traced(2.0, d) for n, d in wrong.items()})


def test_every_formula_of_costs_is_traced_here():
    modules = (collectives, energy, hierarchy, matrix, money, phase, pipeline, roofline)
    formulas = {
        function.__name__
        for module in modules
        for function in vars(module).values()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and not function.__name__.startswith("_")
        and all(p.kind is p.KEYWORD_ONLY for p in inspect.signature(function).parameters.values())
    }
    traced = {f.function.__name__ for f in FORMULAS.values()} | {"host_runtime", "step_runtime", "frame_runtime"}
    untraced = {"alignment_efficiency", "group_columns", "served_share"}  # ratios of equals: no dimension to carry
    assert formulas - traced - untraced == set()


@pytest.mark.parametrize(
    ("verb", "operation"),
    [
        ("add", lambda a, b: a + b),
        ("add", lambda a, b: a - b),
        ("compare", maximum),
        ("compare", minimum),
        ("compare", lambda a, b: a < b),
        ("compare", lambda a, b: a >= b),
    ],
)
def test_seconds_and_bytes_do_not_mix(verb, operation):
    with pytest.raises(UnitError) as refusal:
        operation(Traced(3.0, S), Traced(5.0, BYTE))
    given_first, given_second = str(refusal.value).removeprefix(f"cannot {verb} ").split(" and ")
    assert {given_first, given_second} == {"[s]", "[byte]"}


def test_rounding_and_exponents_need_pure_numbers():
    with pytest.raises(UnitError) as refusal:
        ceil_div(Traced(3.0, S), 2)
    assert str(refusal.value) == "cannot round [s] to an integer"
    with pytest.raises(UnitError) as refusal:
        2 ** Traced(3.0, S)
    assert str(refusal.value) == "an exponent is a pure number, not [s]"
    assert (Traced(3.0, S) ** 2).dimension == S**2
    assert ceil_div(Traced(7.0), 2).value == 4


def test_a_choice_between_unlike_dimensions_is_refused():
    with pytest.raises(UnitError) as refusal:
        where(Traced(1.0, S) > Traced(0.5, S), Traced(1.0, BYTE), Traced(1.0, S))
    assert str(refusal.value) == "cannot compare [byte] and [s]"


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(0.1, 10), st.floats(0.1, 10))
def test_traced_arithmetic_is_plain_arithmetic(a, b, c, d):
    x, y, z, w = (Traced(v, S) for v in (a, b, c, d))
    traced = (x + y) * z / w - x + 2 * y / 2
    assert traced.dimension == S
    assert traced.value == pytest.approx((a + b) * c / d - a + b)
    assert (1 - Traced(a)).value == pytest.approx(1 - a)


def test_an_all_gather_is_traced_too():
    op = AllGather("gather", ("x",), ("y",), group=4)
    link = Link("in", Traced(2.0, BANDWIDTH), 0.0, 8)
    runtime = collectives.collective_runtime(
        op,
        Traced(10.0, BYTE),
        inner=link,
        outer=replace(link, name="out"),
        efficiency=Traced(0.5),
        latency=Traced(1.0, S),
    )
    assert runtime == Traced(1.0 + 10.0 * 3 / (2.0 * 0.5), S)  # (n − 1) shards at half the bandwidth
