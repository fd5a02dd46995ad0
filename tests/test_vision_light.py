"""Light vision networks and their operators: parts counted by hand, sizes against published tables."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfsim as ps
from perfsim.architectures import ImageStep
from perfsim.architectures.vision import (
    VISION_FAMILIES,
    AffNet,
    ConvFirst,
    FastViT,
    GhostNet,
    MobileOne,
    ShuffleNet,
    SimpleNet,
    VMamba,
)
from perfsim.errors import ConfigError
from perfsim.graph import Role, Tensor, Unit, check
from perfsim.ops import ChannelShuffle, CrossMerge, CrossScan, FourierConv, FourierTransform, SelectiveScan
from perfsim.ops.fourier import fft_flops
from perfsim.quantities.dtypes import DTYPES

FP16, FP32 = DTYPES["fp16"], DTYPES["fp32"]
LIGHT = [
    "affnet-et", "convfirst", "efficientmod-xxs", "efficientvim-m1", "efficientvmamba-tiny", "fastvit-sa12",
    "fastvit-mci0", "ghostnet-1.0", "mobileone-s4", "shufflenet-1.0-g3", "shufflenet-v2-1.0", "shvit-s1", "vmamba-tiny",
]  # fmt: skip


def run(kind, *shapes, outputs=1, **fields):
    """(work, output shapes) of one operator on tensors of the given shapes."""
    tensors = {f"in{i}": Tensor(f"in{i}", shape, FP32, Role.ACTIVATION) for i, shape in enumerate(shapes)}
    op = kind(name="op", inputs=tuple(tensors), outputs=tuple(f"out{i}" for i in range(outputs)), **fields)
    return op.work(tensors), op.output_shapes(tensors)


def image(model, *, batch=1, **fields):
    return model.graph(ImageStep(batch, model.image_size, FP16, FP16, **fields))


def products(graph):
    return sum(op.work(graph.tensors).flops // 2 * graph.count(op) for op in graph.operators if op.unit is Unit.TENSOR)


def test_a_shuffle_is_a_copy():
    work, shapes = run(ChannelShuffle, (2, 12, 7, 7), groups=3)
    assert (work.flops, shapes) == (0, ((2, 12, 7, 7),))


def test_scan_orders():
    work, shapes = run(CrossScan, (2, 96, 14, 14))
    assert (work.flops, shapes) == (0, ((2, 196, 4, 96),))
    work, shapes = run(CrossMerge, (2, 196, 4, 96))
    assert (work.flops, shapes) == (3 * 2 * 196 * 96, ((2, 196, 96),))
    # every second row and column: the four orders visit different places, so nothing is added up
    work, shapes = run(CrossScan, (2, 96, 15, 15), step=2)
    assert (work.flops, shapes) == (0, ((2, 64, 4, 96),))
    work, shapes = run(CrossMerge, (2, 64, 4, 96), positions=225)
    assert (work.flops, shapes) == (0, ((2, 225, 96),))


def test_fourier_transforms():
    work, shapes = run(FourierTransform, (4, 8, 64), axes=1)
    assert shapes == ((4, 8, 33, 2),)  # half the spectrum and the middle
    assert work.flops == 2.5 * 32 * 64 * 6  # half of 5·N·log2(N), 32 times
    work, shapes = run(FourierTransform, (4, 8, 16, 64), axes=2)
    assert shapes == ((4, 8, 16, 33, 2),)
    assert work.flops == 2.5 * 32 * 1024 * 10
    back, shapes = run(FourierTransform, (4, 8, 16, 33, 2), axes=2, sizes=(16, 64))
    assert (back.flops, shapes) == (work.flops, ((4, 8, 16, 64),))
    work, shapes = run(FourierTransform, (4, 8, 64, 2), axes=1, real=False)
    assert (work.flops, shapes) == (5 * 32 * 64 * 6, ((4, 8, 64, 2),))


@given(st.integers(1, 12), st.integers(1, 12))
def test_a_transform_of_two_axes_is_one_of_each(rows, columns):
    m, n = 2**rows, 2**columns
    both = fft_flops(transforms=1, points=m * n)
    assert both == pytest.approx(fft_flops(transforms=n, points=m) + fft_flops(transforms=m, points=n))


def test_convolution_by_transforms():
    work, shapes = run(FourierConv, (2, 3, 64), (3, 64))
    transforms = 2.5 * 128 * 7 * (2 * 2 * 3 + 3)  # there and back, and the filters, padded to 128
    assert (work.flops, shapes) == (transforms + 6 * 2 * 3 * 65, ((2, 3, 64),))
    around, _ = run(FourierConv, (2, 3, 64), (3, 64), circular=True)
    assert around.flops == 2.5 * 64 * 6 * 15 + 6 * 2 * 3 * 33


@pytest.mark.parametrize("name", LIGHT)
def test_graphs_are_legal_and_linear_in_the_batch(name):
    model = ps.model(name)
    for attention in ("fused", "naive"):
        one, three = (check(image(model, batch=n, attention=attention)) for n in (1, 3))
        assert [3 * op.work(one.tensors).flops for op in one.operators] == [
            op.work(three.tensors).flops for op in three.operators
        ]
        assert one.parameters == three.parameters


@pytest.mark.parametrize("name", LIGHT)
def test_light_networks_run(name):
    p = ps.predict(name, ps.SinglePass(batch=4, dtype="fp16"), on="rtx-3090")
    assert p.runtime >= p.flops / 142e12  # never above the highest peak of its matrix unit


def test_a_unit_of_shufflenet_by_hand():
    one = ShuffleNet(name="one", stem=24, widths=(240,), depths=(1,), groups=3)
    two = ShuffleNet(name="two", stem=24, widths=(240,), depths=(2,), groups=3)
    # 1×1 to 60 in 3 groups, 3×3 depthwise, 1×1 to 240 in 3 groups, each with a norm
    assert two.parameters - one.parameters == 240 * 60 // 3 + 60 * 9 + 60 * 240 // 3 + 2 * (60 + 60 + 240)
    assert two.counts().products - one.counts().products == 28 * 28 * (240 * 60 // 3 + 60 * 9 + 60 * 240 // 3)


@pytest.mark.parametrize(
    "model",
    [
        FastViT(name="f", image_size=64, depths=(1, 1), widths=(32, 64), attention_stages=1, squeezed_stages=1),
        MobileOne(name="m", image_size=64, stem=16, widths=(32,), depths=(2,), branches=3, squeezed_blocks=(1,)),
    ],
    ids=lambda model: model.name,
)
def test_merging_branches_removes_products_only(model):
    merged = type(model)(**{**vars(model), "merged": True})
    apart, together = image(model, fold=False), image(merged, fold=False)
    assert products(together) < products(apart)
    assert together.parameters < apart.parameters
    last = [graph.operators[-1].outputs[0] for graph in (apart, together)]
    assert apart.tensors[last[0]].shape == together.tensors[last[1]].shape == (1, 1000)


def test_a_merged_block_is_one_convolution():
    fields = {"name": "m", "image_size": 32, "stem": 16, "widths": (32,), "depths": (1,), "merged": True}
    graph = image(MobileOne(**fields))
    convolutions = [op for op in graph.operators if op.unit is Unit.TENSOR]
    assert len(convolutions) == 1 + 2 + 1  # stem, depthwise and pointwise, classifier
    assert products(graph) == 16 * 16 * 27 * 16 + 8 * 8 * (9 * 16 + 16 * 32) + 32 * 1000


def test_a_ghost_module_makes_half_of_its_maps_cheaply():
    model = GhostNet(name="g", blocks=("k3_m16_c16",), stem=16, features=8, classes=4, image_size=32)
    ghost = 16 * 8 + 8 * 9 + 2 * 16  # 1×1 to 8, 3×3 of these 8, norms
    assert model.parameters == (27 * 16 + 32) + 2 * ghost + (16 * 16 + 32) + (16 * 8 + 8) + (8 * 4 + 4)


@pytest.mark.parametrize("text", ["", "k3_m16", "k3_m16_c16_s3", "m16_k3_c16"])
def test_a_ghost_block_that_nobody_can_read(text):
    with pytest.raises(ConfigError) as refusal:
        GhostNet(name="mine", blocks=(text,)).counts()
    assert str(refusal.value) == f'mine: block "{text}": expected a notation like k5_m72_c40_se_s2'


def test_convfirst_block_by_hand():
    # operations per pixel 2·C·(k²·8 + 2·e·C) on the settings of the benchmarks: 64 channels on 64 × 64
    one, two = (ConvFirst(name="c", image_size=256, depths=(n,), widths=(64,)) for n in (1, 2))
    assert two.counts().products - one.counts().products == 64 * 64 * 64 * (9 * 8 + 2 * 6 * 64)
    with pytest.raises(ConfigError) as refusal:
        ConvFirst(name="c", depths=(1,), widths=(60,))
    assert str(refusal.value) == "c: 60 channels are no whole groups of 8"


def test_the_convfirst_entry_holds_every_benchmark_block():
    graph = image(ps.model("convfirst"))
    blocks = {graph.tensors[op.outputs[0]].shape[1:] for op in graph.operators if op.name.endswith("blocks.spatial")}
    assert blocks == {(64, 64, 64), (128, 32, 32), (256, 16, 16)}


@pytest.mark.parametrize(("width", "published"), [(0.5, 1.51), (0.75, 3.29), (1.0, 5.75)])
@pytest.mark.parametrize("strides", [(2, 2, 2, 1, 1, 1), (2, 2, 1, 2, 1, 1)])
def test_simplenet_has_its_published_parameters(width, published, strides):
    # Coderx7/SimpleNet_Pytorch results/benchmark_inference_GTX1080.csv; multiply-adds are not printed there
    model = SimpleNet(name="s", strides=(*strides, 2, 1, 1, 1, 1, 2, 1, 1, 1), width=width)
    assert model.parameters / 1e6 == pytest.approx(published, abs=0.005)
    graph = image(model)
    # each 1×1 convolution is padded, too: 14 → 7 by the last maximum, then 9 and 11
    shapes = [graph.tensors[f"conv{i}.out"].shape[2] for i in (10, 12, 13, 14)]
    assert shapes == [14, 9, 11, 11]


def test_a_vmamba_block_by_hand():
    one, two = (VMamba(name="v", hidden=96, depths=(n,)) for n in (1, 2))
    inner, rank, state = 192, 6, 16
    parameters = (
        2 * 96 + 2 * 96 * inner + inner * 9 + inner  # norm, in, convolution
        + 4 * inner * (rank + 2 * state) + 4 * (rank * inner + inner)  # four directions: dt, B, C; step sizes
        + 4 * inner * (state + 1) + 2 * inner + inner * 96  # A and D, norm, out
    )  # fmt: skip
    assert two.parameters - one.parameters == parameters
    graph = image(two)
    (scan,) = [op for op in graph.operators if isinstance(op, SelectiveScan)]
    assert scan.work(graph.tensors).flops == 56 * 56 * 4 * inner * (7 * state + 3)
    # published tables count 9 per entry of the state and 1 per channel instead, and 5 per element of a norm
    added = two.counts().macs - one.counts().macs - (two.counts().products - one.counts().products)
    assert added == 56 * 56 * (4 * inner * (9 * state + 1) + 5 * (96 + inner))


def test_a_frequency_filter_by_hand():
    model = AffNet(name="a", image_size=256, widths=(32, 48, 64, 104, 144), expansion=2)
    graph = image(model)
    mix = graph.operator("stages.2.blocks.filter.mix1").work(graph.tensors)
    # 32 × 17 frequencies, 8 groups of 8 channels, a complex product is four real ones
    assert mix.flops == 2 * 32 * 17 * 8 * 4 * 8 * 8
    forward, backward = (graph.operator(f"stages.2.blocks.filter.{n}") for n in ("forward", "backward"))
    assert forward.work(graph.tensors).flops == 2.5 * 64 * 1024 * math.log2(1024)
    assert backward.work(graph.tensors).flops == forward.work(graph.tensors).flops


def test_every_light_family_is_listed():
    listed = {
        "affnet", "convfirst", "efficientmod", "efficientvim", "efficientvmamba", "fastvit", "ghostnet", "mobileone",
        "shufflenet", "shufflenet-v2", "shvit", "simplenet", "vmamba",
    }  # fmt: skip
    assert listed <= set(VISION_FAMILIES)


@pytest.mark.parametrize("name", [name for name in LIGHT if not name.startswith("shvit")])
def test_twice_the_channels_are_up_to_four_times_the_work(name):
    model = ps.model(name)
    wide = model.scaled(width=2.0)
    assert 3.1 * model.counts().products < wide.counts().products <= 4.05 * model.counts().products
    assert wide.parameters > 2 * model.parameters  # the least: a classifier behind fixed features
