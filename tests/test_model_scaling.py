"""Larger and smaller networks: width, depth and resolution against published sizes and growth laws."""

import json
import math

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import perfsim as ps
from perfsim.architectures.vision import activation_growth, compound_scaling
from perfsim.cli.main import cli
from perfsim.errors import InputError, UnknownNameError

ROOT = math.sqrt(2)
SCALABLE = [
    "convnext-tiny", "efficientnet-b0", "efficientvit-b2", "mixnet-m", "regnety-16gf", "resnet50", "swin-tiny", "vgg16",
    "vit-base-16",
]  # fmt: skip


PUBLISHED = [  # a published network, and the one that it is a multiple of
    ("deit-small", "deit-tiny", {"width": 2}),
    ("deit-base", "deit-small", {"width": 2}),
    ("deit-base-384", "deit-base", {"resolution": 384 / 224}),
    ("swin-base", "swin-small", {"width": 4 / 3}),
    ("swin-large", "swin-small", {"width": 2}),
    ("convnext-base", "convnext-small", {"width": 4 / 3}),
    ("convnext-large", "convnext-base", {"width": 1.5}),
    ("efficientnet-b1", "efficientnet-b0", {"depth": 1.1}),
    ("efficientnet-b2", "efficientnet-b0", {"width": 1.1, "depth": 1.2}),
    ("efficientnet-b4", "efficientnet-b0", {"width": 1.4, "depth": 1.8}),
    ("efficientnet-b7", "efficientnet-b0", {"width": 2.0, "depth": 3.1}),
    ("efficientvit-l3", "efficientvit-l2", {"width": 2}),
    ("mobilevitv2-2.00", "mobilevitv2-1.00", {"width": 2}),
    ("mobilevitv2-1.50", "mobilevitv2-1.00", {"width": 1.5}),
]


@pytest.mark.parametrize(("large", "small", "factors"), PUBLISHED)
def test_published_networks_are_multiples_of_smaller_ones(large, small, factors):
    scaled, published = ps.model(small).scaled(**factors), ps.model(large)
    size = published.image_size
    assert scaled.counts(size) == published.counts(size)


@pytest.mark.parametrize("name", SCALABLE)
def test_work_grows_with_depth_and_the_squares_of_width_and_resolution(name):
    # fixed stems and heads, rounding to whole heads or blocks: within a quarter
    base = ps.model(name).counts()
    for factors in ({"width": ROOT}, {"depth": 2}, {"resolution": ROOT}):
        grown = ps.model(name).scaled(**factors).counts()
        assert 1.7 < grown.products / base.products < 2.35, factors


@pytest.mark.parametrize("name", ["regnety-16gf", "resnet50", "efficientnet-b0", "convnext-tiny"])
def test_activations_grow_by_the_root_under_width_and_in_full_under_resolution(name):
    # "Fast and Accurate Model Scaling", arXiv 2103.06877: exponents 1/2 for width, 1 for resolution
    base = ps.model(name).counts()

    def exponent(**factors):
        grown = ps.model(name).scaled(**factors).counts()
        return math.log(grown.activations / base.activations) / math.log(grown.products / base.products)

    assert exponent(width=2) == pytest.approx(0.5, abs=0.06)
    assert exponent(resolution=2) == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("name", ["regnety-16gf", "efficientnet-b0", "convnext-tiny"])
def test_fast_scaling_adds_fewer_activations_than_uniform_scaling_for_the_same_work(name):
    base = ps.model(name).counts()

    def growths(share):
        grown = ps.model(name).scaled(**vars(compound_scaling(growth=8, width_share=share))).counts()
        return grown.products / base.products, grown.activations / base.activations

    (fast_work, fast), (uniform_work, uniform) = growths(0.8), growths(1 / 3)
    assert fast < uniform
    for work in (fast_work, uniform_work):
        assert work == pytest.approx(8, rel=0.25)  # whole blocks and multiples of 8 channels
    assert fast == pytest.approx(activation_growth(growth=fast_work), rel=0.2)  # 8^0.6 = 3.5
    assert uniform == pytest.approx(activation_growth(growth=uniform_work, width_share=1 / 3), rel=0.2)  # 8^(5/6) = 5.7


@given(growth=st.floats(0.1, 100), width=st.floats(0, 1), data=st.data())
def test_shares_multiply_to_the_growth(growth, width, data):
    depth = data.draw(st.one_of(st.none(), st.floats(0, 1 - width)))
    m = compound_scaling(growth=growth, width_share=width, depth_share=depth)
    assert m.depth * m.width**2 * m.resolution**2 == pytest.approx(growth)
    assert m.depth * m.width * m.resolution**2 == pytest.approx(activation_growth(growth=growth, width_share=width))


def test_the_named_ways_of_scaling():
    fast = compound_scaling(growth=16)
    assert (fast.width, fast.depth, fast.resolution) == pytest.approx((16**0.4, 16**0.1, 16**0.05))
    uniform = compound_scaling(growth=16, width_share=1 / 3, depth_share=1 / 3)
    sixth = 16 ** (1 / 6)
    assert (uniform.width, uniform.depth, uniform.resolution) == pytest.approx((sixth, sixth**2, sixth))
    assert compound_scaling(growth=4, width_share=1).width == pytest.approx(2)
    assert activation_growth(growth=16, width_share=1) == pytest.approx(4)  # width alone: the root
    assert activation_growth(growth=16, width_share=0) == pytest.approx(16)


def test_factors_of_one_change_nothing():
    model = ps.model("resnet50")
    assert model.scaled() is model
    assert model.scaled(width=1.2, depth=1.5).name == "resnet50 (width ×1.2, depth ×1.5)"
    assert model.scaled(resolution=0.5).image_size == 112


def test_factors_are_axes_of_a_prediction():
    job = ps.SinglePass(batch=8, dtype="fp16")
    faster = {"device.memory.main.bandwidth": "x2"}
    wide = ps.predict("resnet50", job, on="rtx-3090", what_if={"model.width": 1.5, **faster})
    same = ps.predict(ps.model("resnet50").scaled(width=1.5), job, on="rtx-3090", what_if=faster)
    assert wide.runtime == same.runtime
    assert wide.model.parameters == same.model.parameters > ps.model("resnet50").parameters


def test_growth_is_fast_compound_scaling():
    job = ps.SinglePass(batch=8, dtype="fp16")
    grown = ps.predict("regnety-16gf", job, on="rtx-3090", what_if={"model.growth": 4})
    same = ps.model("regnety-16gf").scaled(**vars(compound_scaling(growth=4.0)))
    assert grown.model == same
    assert grown.model.macs == pytest.approx(4 * ps.model("regnety-16gf").macs, rel=0.1)
    for nonsense in (0, -1, "nan", "inf"):
        with pytest.raises(InputError, match="expected a factor"):
            ps.predict("regnety-16gf", job, on="rtx-3090", what_if={"model.growth": nonsense})


def test_factors_are_axes_of_a_sweep():
    pytest.importorskip("xarray")
    from perfsim.sweeps import sweep

    job = ps.SinglePass(batch=8, dtype="fp16")
    found = sweep("convnext-tiny", job, "rtx-3090", vary={"model.width": [1.0, 1.5], "model.depth": [1.0, 2.0]})
    for width in (1.0, 1.5):
        for depth in (1.0, 2.0):
            one = ps.predict(ps.model("convnext-tiny").scaled(width=width, depth=depth), job, on="rtx-3090")
            assert float(found.runtime.sel({"model.width": width, "model.depth": depth})) == pytest.approx(one.runtime)


def run(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_the_command_line():
    words = ("predict", "convnext-tiny", "--on", "rtx-3090", "--dtype", "fp16", "--json")
    data = json.loads(run(*words, "--set", "model.width=x2", "--set", "model.depth=2", "--image-size", 288).stdout)
    expected = ps.model("convnext-tiny").scaled(width=2, depth=2).counts(288)
    assert (data["parameters"], data["macs"]) == (expected.parameters, expected.macs)
    both = run("compare", "resnet50", "--on", "rtx-3090", "--dtype", "fp16", "--variant", "model.width=2")
    assert both.exit_code == 0, both.output


REFUSALS = [
    (
        "gpt2", {"model.width": 2}, InputError,
        "model.width: gpt2 is a language model, expected a vision network; leave it out",
    ),
    (
        "resnet50", {"model.heigth": 2}, UnknownNameError,
        'unknown what-if path "model.heigth"; did you mean model.width, model.depth or model.growth? '
        "e.g. model.width=1.2",
    ),
    ("resnet50", {"model.width": "wide"}, InputError, "model.width=wide: expected a factor such as 1.2 or x1.2"),
    ("resnet50", {"model.width": 0}, InputError, "resnet50: width=0.0: expected a factor from 0.01 to 100"),
    ("resnet50", {"model.depth": "nan"}, InputError, "resnet50: depth=nan: expected a factor from 0.01 to 100"),
    (
        "alexnet", {"model.width": 2}, InputError,
        "alexnet: width=2.0: this family has a fixed width; scale depth or resolution",
    ),
    (
        "halonet50ts", {"model.depth": 2}, InputError,
        "halonet50ts: depth=2.0: this family has a fixed depth; scale width or resolution",
    ),
    (
        "efficientvit-m0", {"model.resolution": 2}, InputError,
        "efficientvit-m0: resolution=2.0: it works on 224 × 224 pixels only",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "kind", "message"), REFUSALS)
def test_refusals(name, changes, kind, message):
    job = ps.Prefill() if name == "gpt2" else ps.SinglePass()
    with pytest.raises(kind) as refusal:
        ps.predict(name, job, on="rtx-3090", what_if=changes)
    assert str(refusal.value) == message
