"""Networks beyond image classification: video clips, detection, segmentation."""

import pytest

import perfsim as ps
from perfsim.architectures import ImageStep
from perfsim.architectures.vision import Detr, SlowFast, Unet, VideoResNet
from perfsim.errors import InputError
from perfsim.graph import Role, check
from perfsim.ops import FusedAttention
from perfsim.quantities.dtypes import DTYPES

FP16 = DTYPES["fp16"]

# facebookresearch/pytorchvideo@366138bc36e6 docs/source/model_zoo.md, Kinetics-400: GFLOPs per view, parameters [M].
# The second number is what the printed GFLOPs count per element of a batch norm: the table mixes both ways.
VIDEO = {
    "c2d-r50-8x8": (25.89, 5, 24.33), "i3d-r50-8x8": (37.53, 5, 28.04), "slow-r50-4x16": (27.55, 5, 32.45),
    "slow-r50-8x8": (54.52, 0, 32.45), "slowfast-r50-4x16": (36.69, 5, 34.48), "slowfast-r50-8x8": (65.71, 0, 34.57),
    "slowfast-r101-8x8": (127.20, 5, 62.83),
}  # fmt: skip


@pytest.mark.parametrize("name", VIDEO)
def test_video_networks_have_their_published_sizes(name):
    gflops, per_norm_element, parameters = VIDEO[name]
    counts = ps.model(name).counts()
    norm_elements = (counts.macs - counts.products) / 2
    assert (counts.products + per_norm_element * norm_elements) / 1e9 == pytest.approx(gflops, abs=0.0051)
    assert counts.parameters / 1e6 == pytest.approx(parameters, abs=0.0051)


def test_clips_are_the_inputs():
    g = check(ps.model("slowfast-r50-8x8").graph(ImageStep(2, 256, FP16, FP16)))
    assert {t.name: t.shape for t in g.of_role(Role.INPUT)} == {
        "slow": (2, 3, 8, 256, 256), "fast": (2, 3, 32, 256, 256),
    }  # fmt: skip
    p = ps.predict("i3d-r50-8x8", ps.SinglePass(batch=4, dtype="fp16"), on="rtx-3090")
    assert p.traffic >= 2 * 4 * 3 * 8 * 256 * 256  # the clips are read


def test_the_fast_pathway_is_light_and_frames_cost_linearly():
    slow, both = VideoResNet(name="slow", frames=8).counts(), SlowFast(name="both", frames=8).counts()
    assert both.products < 1.25 * slow.products  # arXiv 1812.03982: about 20 % of the work, four times the frames
    assert VideoResNet(name="slow", frames=16).counts().products == pytest.approx(2 * slow.products, rel=1e-4)


def test_a_convolution_over_three_axes_by_hand():
    one = VideoResNet(name="one", frames=4, layers_per_stage=(1,), span=("3",), image_size=32, planes=8, classes=10)
    stem = 4 * 16 * 16 * 8 * 3 * 49
    places = 4 * 8 * 8
    block = places * (8 * 8 * 3 + 8 * 8 * 9 + 8 * 32 + 8 * 32)  # 3×1×1, 1×3×3, 1×1×1, shortcut
    assert one.counts().products == stem + block + 32 * 10


def test_detr_by_hand():
    model = ps.model("detr-resnet50")
    hidden, ff = 256, 2048
    attention, mlp, norm = 4 * (hidden * hidden + hidden), 2 * hidden * ff + ff + hidden, 2 * hidden
    encoder, decoder = attention + mlp + 2 * norm, 2 * attention + mlp + 3 * norm
    heads = (hidden * 92 + 92) + 2 * (hidden * hidden + hidden) + (hidden * 4 + 4)
    transformer = 6 * encoder + 6 * decoder + norm + 100 * hidden + (2048 * hidden + hidden) + heads
    trunk = ps.model("resnet50").parameters - (2048 * 1000 + 1000)
    assert model.parameters == trunk + transformer
    # the training code prints 41302368: without the frozen first convolution, first stage and all norms
    frozen = 64 * 147 + (64 * 64 + 64 * 64 * 9 + 64 * 256 * 2) + 2 * (256 * 64 + 64 * 64 * 9 + 64 * 256)
    assert model.parameters - frozen - 2 * 26_560 == 41_302_368


def test_detr_attends_to_the_map_of_a_rectangular_image():
    g = check(ps.model("detr-resnet50").graph(ImageStep(1, 800, FP16, FP16)))
    assert g.tensors["image"].shape == (1, 3, 800, 1137)
    contexts = [op.context for op in g.operators if isinstance(op, FusedAttention)]
    assert contexts == [25 * 36, 100, 25 * 36]  # encoder; queries among themselves; queries over the map


def test_a_small_unet_by_hand():
    model = Unet(name="small", widths=(4, 8), image_size=16, classes=3)
    down = 256 * 9 * (3 * 4 + 4 * 4) + 64 * 9 * (4 * 8 + 8 * 8)
    transposed = 64 * 8 * 4 * 4  # every position of the smaller map adds a 2×2 stencil
    up = 256 * 9 * (8 * 4 + 4 * 4)
    assert model.counts().products == down + transposed + up + 256 * 4 * 3
    assert model.scaled(width=2).widths == (8, 16)


@pytest.mark.parametrize("size", [360, 15])
def test_a_unet_refuses_sizes_at_which_its_paths_do_not_meet(size):
    with pytest.raises(InputError) as refusal:
        ps.predict("unet-camvid", ps.SinglePass(image_size=size, dtype="fp16"), on="rtx-3090")
    reason = "expected a multiple of 16, so that both paths meet"
    assert str(refusal.value) == f"image_size={size} for unet-camvid: a side of {size} pixels: {reason}"


def test_other_families_refuse_what_they_cannot_be():
    assert Detr(name="square").counts(800).products < ps.model("detr-resnet50").counts().products
