"""The waterline: identities of the formulas, published tables, and the result object."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfsim as ps
from perfsim.costs.waterline import aggregate_efficiency, attainable_efficiency, efficiency_gap, submerged, submersible
from perfsim.errors import InputError, UnitError
from perfsim.prediction.waterline import waterline_of
from perfsim.quantities.dimensions import DIMENSIONLESS, Dimension, Traced
from tests.strategies import devices, jobs, make_device, models, perfect_stack, stacks

CLOSE = 1e-9
"""Relative rounding of sums of floats in another order."""

kernels = st.lists(
    st.tuples(st.floats(0, 1e15) | st.just(0.0), st.floats(0, 1e12) | st.just(0.0)), min_size=1, max_size=12
).filter(lambda pairs: sum(o for o, _ in pairs) > 1.0)
ridges = st.floats(1e-2, 1e4)


def efficiency(pairs, ridge, formula=attainable_efficiency):
    return formula(flops=[o for o, _ in pairs], traffic=[b for _, b in pairs], ridge_point=ridge)


def roofline(pair, ridge):
    """min(1, I / ρ) of one kernel."""
    o, b = pair
    return min(1.0, o / (ridge * b)) if b else 1.0


# the identities


@given(kernels, ridges)
def test_the_sequence_never_beats_the_roofline_of_the_aggregate(pairs, ridge):
    assert efficiency(pairs, ridge) <= efficiency(pairs, ridge, aggregate_efficiency) * (1 + CLOSE)


@given(kernels, ridges, st.booleans())
def test_both_are_equal_when_all_kernels_lie_on_one_side(pairs, ridge, above):
    one_side = [(o, b) for o, b in pairs if (o >= ridge * b) is above]
    if sum(o for o, _ in one_side) > 0:
        expected = efficiency(one_side, ridge, aggregate_efficiency)
        assert efficiency(one_side, ridge) == pytest.approx(expected, rel=CLOSE)


@given(kernels.map(lambda pairs: [(o + 1.0, b) for o, b in pairs]), ridges)
def test_it_is_the_harmonic_mean_of_the_kernels_weighted_by_operations(pairs, ridge):
    mean = sum(o for o, _ in pairs) / sum(o / roofline((o, b), ridge) for o, b in pairs)
    assert efficiency(pairs, ridge) == pytest.approx(mean, rel=CLOSE)


@given(kernels, ridges, st.randoms())
def test_order_does_not_matter(pairs, ridge, random):
    mixed = random.sample(pairs, len(pairs))
    assert efficiency(mixed, ridge) == pytest.approx(efficiency(pairs, ridge), rel=CLOSE)


@given(kernels, ridges, st.integers(2, 7), st.data())
def test_splitting_a_kernel_into_parts_of_equal_intensity_changes_nothing(pairs, ridge, parts, data):
    index = data.draw(st.integers(0, len(pairs) - 1))
    o, b = pairs[index]
    split = [*pairs[:index], *[(o / parts, b / parts)] * parts, *pairs[index + 1 :]]
    assert efficiency(split, ridge) == pytest.approx(efficiency(pairs, ridge), rel=CLOSE)


@given(kernels.filter(lambda pairs: len(pairs) > 1), ridges, st.floats(0, 1))
def test_fusing_two_kernels_never_lowers_it(pairs, ridge, kept):
    """Not when all bytes stay, and not when a share of them vanishes on chip."""
    (o1, b1), (o2, b2), *rest = pairs
    whole = efficiency([(o1 + o2, b1 + b2), *rest], ridge)
    assert whole >= efficiency(pairs, ridge) * (1 - CLOSE)
    assert efficiency([(o1 + o2, kept * (b1 + b2)), *rest], ridge) >= whole * (1 - CLOSE)


@given(kernels, ridges, st.floats(1, 1e12))
def test_pure_data_movement_counts_with_its_bytes_in_the_denominator(pairs, ridge, nbytes):
    work = sum(o for o, _ in pairs)
    before = work / efficiency(pairs, ridge)
    assert efficiency([*pairs, (0.0, nbytes)], ridge) == pytest.approx(work / (before + ridge * nbytes), rel=CLOSE)


@given(kernels, st.floats(1e9, 1e15), st.floats(1e9, 1e13))
def test_bars_and_water_over_the_peak_are_the_latency(pairs, peak, bandwidth):
    """The area of bars and water is R × Σ max(o / R, b / B), and bars over bars and water is the efficiency."""
    ridge = peak / bandwidth
    latency = sum(max(o / peak, b / bandwidth) for o, b in pairs)
    water = sum(submerged(flops=o, traffic=b, ridge_point=ridge) for o, b in pairs)
    bars = sum(o for o, _ in pairs)
    assert (bars + water) / peak == pytest.approx(latency, rel=CLOSE)
    assert bars / (bars + water) == pytest.approx(efficiency(pairs, ridge), rel=1e-6)
    assert efficiency_gap(flops=bars, peak=peak, runtime=latency) == pytest.approx(
        1 / efficiency(pairs, ridge), rel=1e-6
    )


@given(kernels, ridges)
def test_the_time_weighted_mean_height_of_the_other_view_is_the_same_efficiency(pairs, ridge):
    times = [submersible(flops=o, traffic=b, ridge_point=ridge) for o, b in pairs]  # over the peak
    mean = sum(t * (o / t) for (o, _), t in zip(pairs, times, strict=True) if t) / sum(times)
    assert efficiency(pairs, ridge) == pytest.approx(mean, rel=CLOSE)


def test_a_kernel_above_below_and_at_the_line():
    assert submerged(flops=1000, traffic=10, ridge_point=50) == 0  # 100 FLOP/byte > 50
    assert submerged(flops=100, traffic=10, ridge_point=50) == 400  # 50 × 10 - 100
    assert submerged(flops=500, traffic=10, ridge_point=50) == 0
    pairs = [(1000, 10), (100, 10), (0, 2)]
    assert efficiency(pairs, 50) == 1100 / (1000 + 500 + 100)
    assert efficiency(pairs, 50, aggregate_efficiency) == 1.0  # 1100 / (50 × 22) = 1
    assert efficiency([(600, 10), (100, 10)], 50, aggregate_efficiency) == 0.7  # 700 / (50 × 20)


# carriers


def test_the_formulas_work_on_arrays_and_symbols():
    np, sympy = pytest.importorskip("numpy"), pytest.importorskip("sympy")
    ridge = np.array([10.0, 50.0, 200.0])
    values = attainable_efficiency(flops=[1000.0, 100.0], traffic=[10.0, 10.0], ridge_point=ridge)
    assert values.tolist() == [efficiency([(1000.0, 10.0), (100.0, 10.0)], r) for r in ridge]
    rho = sympy.Symbol("rho", positive=True)
    symbolic = attainable_efficiency(flops=[1000, 100], traffic=[10, 10], ridge_point=rho)
    assert symbolic.subs(rho, 50) == sympy.Rational(1100, 1500)


FLOP, BYTE, S = (Dimension.of(**{unit: 1}) for unit in ("FLOP", "byte", "s"))


@pytest.mark.parametrize("formula", [attainable_efficiency, aggregate_efficiency])
def test_efficiencies_have_no_dimension_and_refuse_a_wrong_ridge_point(formula):
    flops, traffic = [Traced(9.0, FLOP), Traced(8.0, FLOP)], [Traced(2.0, BYTE), Traced(7.0, BYTE)]
    result = formula(flops=flops, traffic=traffic, ridge_point=Traced(3.0, FLOP / BYTE))
    assert getattr(result, "dimension", DIMENSIONLESS) == DIMENSIONLESS
    with pytest.raises(UnitError):
        formula(flops=flops, traffic=traffic, ridge_point=Traced(3.0, FLOP / S))


# intensities, traffic and bounds of blocks, as derived in the notes on arXiv 2404.03617


def conv(inputs, outputs, side, *, taps=1, width=None, read=0, batch=128, size=2):
    """(FLOP, byte) of a convolution of stride 1: input, output, ``read`` more channels, weights."""
    width = inputs if width is None else width  # input channels that each output sees
    area = batch * side * side
    weights = taps * taps * width * outputs
    return 2 * weights * area, size * (area * (inputs + outputs + read) + weights)


def layer_norm(channels, side, batch=128):
    """5 FLOP per element, as the layer norms of perfsim; read and written in fp16."""
    return 5 * batch * side * side * channels, 2 * batch * side * side * 2 * channels


def convnext(c, side):
    return [
        conv(c, c, side, taps=7, width=1), layer_norm(c, side), conv(c, 4 * c, side), conv(4 * c, c, side, read=c)
    ]  # fmt: skip


def convfirst(c, side, e=6):
    return [conv(c, c, side, taps=3, width=8), conv(c, e * c, side), conv(e * c, c, side, read=c)]


def mbconv(c, side, e=4):
    return [conv(c, e * c, side), conv(e * c, e * c, side, taps=3, width=8), conv(e * c, c, side, read=c)]


A100, RTX3090, RTX4090 = 152, 76, 327
"""Ridge points of the table: A100 80 GB; RTX 3090 with fp32 accumulation; RTX 4090 with fp16 accumulation."""


BLOCKS = [
    # block, its convolutions' intensities as printed, e* on the three machines as printed
    (convnext(96, 56), ("24.5", "76.8", "64.0"), (0.36, 0.72, 0.17)),
    (convnext(192, 28), ("24.5", "153", "128"), (0.69, 0.86, 0.32)),
    (convnext(384, 14), ("24.5", "304", "253"), (0.85, 0.93, 0.63)),
    (convnext(768, 7), ("24.4", "560", "473"), (0.92, 0.96, 0.83)),
    (convfirst(64, 64), ("36", "54.9", "48.0"), (0.33, 0.65, 0.15)),
    (convfirst(128, 32), ("36", "110", "95.9"), (0.62, 0.95, 0.29)),
    (convfirst(256, 16), ("36", "218", "191"), (0.93, 0.98, 0.56)),
    (mbconv(256, 16), ("204", "36", "170"), (0.72, 0.88, 0.37)),
]


@pytest.mark.parametrize(("block", "intensities", "bounds"), BLOCKS)
def test_the_table_of_blocks_is_reproduced(block, intensities, bounds):
    convolutions = [(o, b) for o, b in block if o / b > 5]  # a layer norm has 5 FLOP per 4 bytes
    for (o, b), printed in zip(convolutions, intensities, strict=True):
        digits = len(printed.partition(".")[2])
        assert o / b == pytest.approx(float(printed), abs=0.52 * 10**-digits)  # 303.48 is printed as 304
    assert tuple(round(efficiency(block, ridge), 2) for ridge in (A100, RTX3090, RTX4090)) == bounds


@pytest.mark.parametrize(
    ("block", "channels", "side", "printed"),
    [
        (convnext, 96, 56, 408), (convnext, 192, 28, 786), (convnext, 384, 14, 1469), (convnext, 768, 7, 2073),
        (convfirst, 64, 64, 420), (convfirst, 128, 32, 799), (convfirst, 256, 16, 1500), (mbconv, 256, 16, 1128),
    ],
)  # fmt: skip
def test_a_fused_block_is_far_above_every_line(block, channels, side, printed):
    """One kernel that reads and writes C channels, and all weights once; the work of the convolutions."""
    area = 128 * side * side
    work = sum(o for o, b in block(channels, side) if o / b > 5)
    weights = work / (2 * area)
    intensity = work / (2 * (2 * area * channels + weights))
    assert round(intensity) == printed
    assert efficiency([(work, work / intensity)], RTX4090) == 1.0


def test_where_the_aggregate_says_all_the_sequence_says_less():
    """The row C = 384: the roofline of the aggregate is 1.0, the waterline .85."""
    block = convnext(384, 14)
    assert efficiency(block, A100, aggregate_efficiency) == 1.0
    assert round(efficiency(block, A100), 2) == 0.85


@pytest.mark.parametrize(
    ("operations", "channels", "printed"),
    [
        (2 * 9 * 64 * 64, 128, 9 * 64 / 2),  # full 3×3, C = K = 64: k²C/2
        (2 * 6 * 64 * 64, 7 * 64, 6 * 64 / 7),  # pointwise, e = 6: eC/(1+e)
        (2 * 9 * 8 * 64, 128, 36),  # grouped, 3×3, width 8
        (2 * 9 * 64, 128, 4.5),  # depthwise 3×3
        (2 * 49 * 64, 128, 24.5),  # depthwise 7×7
        (2 * 49 * 8 * 64, 128, 196),  # grouped, 7×7, width 8
    ],
)
def test_intensities_per_layer_without_weights(operations, channels, printed):
    assert operations / (2 * channels) == printed


@pytest.mark.parametrize(
    ("elements", "ratio"),
    [
        ((2, 7, 7 + 1), 8.5),  # ConvFirst, e = 6: 5 + 2e = 17 over 2
        ((5, 8, 5 + 1), 9.5),  # MBConv, e = 4: 3 + 4e = 19 over 2
        ((2, 2, 5, 5 + 1), 7.5),  # ConvNeXt, e = 4: 15 over 2
    ],
)
def test_traffic_of_blocks_over_that_of_the_fused_one(elements, ratio):
    assert sum(elements) / 2 == ratio


@pytest.mark.parametrize("side", [1, 14, 56])
def test_widening_never_lifts_a_depthwise_or_narrow_grouped_convolution(side):
    for channels in (32, 1024, 65536):
        o, b = conv(channels, channels, side, taps=3, width=1)
        assert o / b < 4.5
        o, b = conv(channels, channels, side, taps=3, width=8)
        assert o / b < 36


# the result


@pytest.fixture(scope="module")
def convnext_tiny():
    return ps.predict("convnext-tiny", ps.SinglePass(batch=128, dtype="fp16"), on="rtx-3090", stack="layerwise")


def test_kernels_of_a_catalogue_network_have_the_intensities_of_the_table(convnext_tiny):
    line = waterline_of(convnext_tiny)
    found = {kernel.name: kernel for kernel in line.kernels}
    assert round(found["stages.0.blocks.depthwise"].operational_intensity, 1) == 24.5
    assert found["stages.0.blocks.norm"].operational_intensity < 2  # reads and writes, hardly computes
    assert found["stages.0.blocks.depthwise"].count == 3
    o, b = conv(384, 96, 56, read=96)
    assert found["stages.0.blocks.mlp.project"].operational_intensity == pytest.approx(o / b, rel=0.01)  # and a scale


def test_the_result_adds_up(convnext_tiny):
    line = waterline_of(convnext_tiny)
    device = convnext_tiny.system.device
    assert line.ridge_point == convnext_tiny.peak / device.bandwidth
    assert line.flops == convnext_tiny.flops
    assert line.traffic == convnext_tiny.traffic
    assert line.runtime == pytest.approx(convnext_tiny.runtime, rel=CLOSE)
    assert line.achieved_efficiency == pytest.approx(convnext_tiny.mfu, rel=CLOSE)
    whole = sum(max(k.flops, line.ridge_point * k.traffic) for k in line.kernels)
    assert line.attainable_efficiency == pytest.approx(line.flops / whole, rel=CLOSE)
    assert line.submerged_flops == pytest.approx(whole - line.flops, rel=CLOSE)
    below = [k for k in line.kernels if k.traffic and k.operational_intensity < line.ridge_point]
    assert line.submerged_traffic == sum(k.traffic for k in below)
    for kernel in line.kernels:
        assert sum(line.shares(kernel)) == pytest.approx(1.0)


def test_plain_data_has_the_keys_of_the_contract(convnext_tiny):
    data = waterline_of(convnext_tiny).to_dict()
    assert {"ridge_point", "attainable_efficiency", "aggregate_efficiency", "kernels"} <= set(data)
    keys = {"name", "kind", "flops", "traffic", "operational_intensity", "runtime"}
    assert all(keys <= set(kernel) for kernel in data["kernels"])


def test_another_device_without_a_cache_moves_only_the_line():
    stack, job = perfect_stack(), ps.SinglePass(batch=4, dtype="fp16")
    lines = [
        waterline_of(ps.predict("resnet18", job, on=make_device(peak=peak, bandwidth=bandwidth), stack=stack))
        for peak, bandwidth in ((1e14, 1e12), (4e14, 1e12), (1e14, 3e12))
    ]
    assert [round(line.ridge_point, 6) for line in lines] == [100.0, 400.0, round(100 / 3, 6)]
    bars = [[(k.name, k.flops, k.traffic) for k in line.kernels] for line in lines]
    assert bars[0] == bars[1] == bars[2]
    assert lines[1].attainable_efficiency < lines[0].attainable_efficiency < lines[2].attainable_efficiency


@given(models(), jobs(), devices(), stacks())
def test_no_prediction_beats_its_waterline(model, job, device, stack):
    line = waterline_of(ps.predict(model, job, on=device, stack=stack))
    assert 0 < line.achieved_efficiency <= line.attainable_efficiency * (1 + 1e-6)
    assert line.attainable_efficiency <= line.aggregate_efficiency * (1 + 1e-6) <= 1 + 1e-6
    assert math.isclose(line.flops + line.submerged_flops, line.flops / line.attainable_efficiency, rel_tol=1e-6)


def test_several_devices_have_one_ridge_point_and_the_work_of_all():
    job = ps.Decode(context_length=64, dtype="bf16")
    one, four = (waterline_of(ps.predict("llama-2-7b", job, on="a100-sxm4-80gb", count=n)) for n in (1, 4))
    assert four.ridge_point == one.ridge_point
    assert four.peak == 4 * one.peak


def test_a_job_without_arithmetic_has_no_waterline(convnext_tiny, monkeypatch):
    monkeypatch.setattr(type(convnext_tiny), "flops", 0)
    with pytest.raises(InputError) as error:
        waterline_of(convnext_tiny)
    message = "waterline: convnext-tiny does no arithmetic in this job, so nothing could rise above water"
    assert str(error.value) == message


def test_the_job_stands_in_words():
    p = ps.predict("gpt2", ps.Decode(context_length=64, dtype="bf16"), on="a100-sxm4-80gb")
    assert waterline_of(p).job == p.job.words == "decode, batch 1, dtype bf16, context length 64"
    assert p.setup == "gpt2 on 1 × a100-sxm4-80gb under ideal"
    assert ps.SinglePass(batch=8).words == "single-pass, batch 8"  # what is not stated is left out
