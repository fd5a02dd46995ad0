"""Networks that mix convolutions with local, linear, reduced or cascaded attention: parts by hand, refusals.

Published sizes of the whole networks are compared in ``test_vision_models.py``.
"""

import pytest

import perfsim as ps
from perfsim.architectures import ImageStep
from perfsim.architectures.vision import HaloNet, MixNet
from perfsim.architectures.vision.mixnet import MixBlock, shares
from perfsim.errors import ConfigError, InputError
from perfsim.graph import Unit, check
from perfsim.ops import FusedAttention, Scores
from perfsim.quantities.dtypes import DTYPES

FP16 = DTYPES["fp16"]
NAMES = [
    "efficientvit-b1", "efficientvit-l1", "efficientvit-m5", "halonet50ts", "sehalonet33ts", "nextvit-small",
    "mixnet-l", "mobilevit-s", "mobilevitv2-1.00",
]  # fmt: skip


def graph(name, batch=1, size=None, **fields):
    model = ps.model(name)
    return model.graph(ImageStep(batch, size or model.image_size, FP16, FP16, **fields))


def products(g):
    return sum(op.work(g.tensors).flops * g.count(op) for op in g.operators if op.unit is Unit.TENSOR)


@pytest.mark.parametrize("name", NAMES)
def test_graphs_are_legal_and_linear_in_the_batch(name):
    for attention in ("fused", "naive"):
        one, three = check(graph(name, attention=attention)), check(graph(name, 3, attention=attention))
        assert 3 * products(one) == products(three) == 3 * 2 * ps.model(name).counts().products
        assert one.parameters == three.parameters


def test_linear_attention_grows_with_the_pixels_and_softmax_attention_faster():
    linear, softmax = ps.model("efficientvit-b1"), ps.model("vit-base-16")
    assert linear.counts(448).products == pytest.approx(4 * linear.counts(224).products, rel=0.01)
    assert softmax.counts(448).products > 4.2 * softmax.counts(224).products


def test_halo_attention_of_one_block_by_hand():
    with_attention = HaloNet(name="a", blocks=("a",), widths=(64,), middles=(64,), image_size=64, stem=(64,))
    with_conv = HaloNet(name="c", blocks=("c",), widths=(64,), middles=(64,), image_size=64, stem=(64,))
    places, around, dim = 16 * 16, 14 * 14, 64 // 8
    projections = 3 * places * 64 * 64
    pairs = 2 * places * around * 64
    relative = 8 * places * dim * 2 * (2 * 14 - 1)  # rows and columns, for each of 8 heads
    convolution = places * 64 * 64 * 9
    more = with_attention.counts().products - with_conv.counts().products
    assert more == projections + pairs + relative - convolution
    learned = 3 * 64 * 64 + 2 * 27 * dim
    assert with_attention.parameters - with_conv.parameters == learned - 64 * 64 * 9


def test_a_strided_block_has_fewer_queries_and_as_many_keys():
    model = HaloNet(name="a", blocks=("c", "a"), widths=(64, 64), middles=(64, 64), image_size=128, stem=(64,))
    g = model.graph(ImageStep(1, 128, FP16, FP16))
    op = next(op for op in g.operators if isinstance(op, Scores))
    query, key = (g.tensors[name].shape for name in op.inputs)
    assert query == (16, 4 * 4, 8, 8)  # a map of 32 × 32 in 4 × 4 blocks, 4 × 4 queries in each
    assert key == (16, 14 * 14, 8, 8)


def test_keys_and_values_are_pooled_in_front_of_reduced_attention():
    g = graph("nextvit-small")
    lengths = {}
    for op in g.operators:
        if isinstance(op, FusedAttention):
            query, key, _ = (g.tensors[name].shape for name in op.inputs[:3])
            lengths[query[1]] = key[1]
    assert lengths == {28 * 28: 49, 14 * 14: 49, 7 * 7: 49}  # reduced by 4, 2 and 1 along each side


def test_each_head_of_a_cascade_sees_its_share_of_the_channels():
    g = graph("efficientvit-m0")
    first = g.tensors["stages.0.blocks.attention.head0.qkv.weight"].shape
    assert first == (1, 16 + 16 + 16, 64 // 4, 1, 1)  # queries, keys, values from a quarter of 64 channels
    positions = g.tensors["stages.0.blocks.attention.head0.positions"].shape
    assert positions == (7, 7)  # one number per distance inside a window


def test_equal_places_of_all_patches_attend_to_each_other():
    g = graph("mobilevit-s")
    tokens = {op.name: g.tensors[op.inputs[0]].shape for op in g.operators if isinstance(op, FusedAttention)}
    assert tokens == {  # four places per patch of 2 × 2; maps of 32, 16 and 8 pixels per side
        "stages.2.layers.attention.fused": (4, 256, 4, 36), "stages.3.layers.attention.fused": (4, 64, 4, 48),
        "stages.4.layers.attention.fused": (4, 16, 4, 60),
    }  # fmt: skip
    with pytest.raises(InputError) as refusal:
        ps.predict("mobilevit-s", ps.SinglePass(image_size=200), on="rtx-3090")
    reason = "a map of 25 × 25 has no whole patches; use an image size that leaves even sides"
    assert str(refusal.value) == f"image_size=200 for mobilevit-s: {reason}"


def test_mixed_kernels_share_the_channels():
    assert shares(10, 3) == (4, 3, 3)
    block = MixBlock.parse("ir_r3_k3.5_a1.1_p1.1_s1_e6_c40_se0.5_nsw", "mine")
    assert (block.repeats, block.kernels, block.expand_parts, block.project_parts) == (3, (3, 5), 2, 2)
    assert (block.expansion, block.squeeze, block.silu) == (6, 0.5, True)
    model = MixNet(name="m", stages=(("ds_r1_k3_s1_e1_c16",), ("ir_r1_k3.5_s1_e1_c16_noskip",)), stem_channels=16)
    plain = MixNet(name="p", stages=(("ds_r1_k3_s1_e1_c16",), ("ir_r1_k3_s1_e1_c16_noskip",)), stem_channels=16)
    # eight of sixteen channels have 25 taps instead of 9
    assert model.parameters - plain.parameters == 8 * (25 - 9)
    assert model.counts().products - plain.counts().products == 112 * 112 * 8 * (25 - 9)


def test_refusals():
    with pytest.raises(ConfigError) as refusal:
        HaloNet(name="mine", blocks=("cx",), widths=(64,), middles=(64,))
    assert str(refusal.value) == (
        "mine: blocks=cx: expected one letter per block, a (attention) or c (convolution)"
    )
    with pytest.raises(ConfigError) as refusal:
        MixBlock.parse("ir_r3_k3.5_q1_s1_c40", "mine")
    assert str(refusal.value) == (
        'mine: block "ir_r3_k3.5_q1_s1_c40": expected a notation like ir_r3_k3.5_a1.1_p1.1_s1_e6_c40_se0.5_nsw'
    )
    with pytest.raises(InputError, match="efficientvit-m5 works on 224 × 224 pixels only"):
        ps.predict("efficientvit-m5", ps.SinglePass(image_size=256), on="rtx-3090")
