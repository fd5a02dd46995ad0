"""Vision networks of the catalogue: sizes against published tables, hand-counted parts, refusals."""

import csv
from pathlib import Path

import pytest

import perfsim as ps
from perfsim.architectures import Denoiser, ImageStep, VisionModel
from perfsim.architectures.vision import MobileNet, RegNet, ResNet, Vgg, counts_of
from perfsim.architectures.vision.rounding import round_channels
from perfsim.catalog import model_entry, model_names
from perfsim.errors import ConfigError, PerfsimError
from perfsim.graph import Role, Unit, check
from perfsim.ops import BatchNorm
from perfsim.quantities.dtypes import DTYPES

FP16 = DTYPES["fp16"]
NAMES = [name for name in model_names() if isinstance(model_entry(name).model, VisionModel)]
TIMM = {model_entry(name).timm: name for name in NAMES}
WITHOUT_MACS = {"fastvithd", "simplenetv1-5m-m1", "simplenetv1-5m-m2"}
"""Networks whose publications print no multiply-accumulates."""
PROMISED = [f"efficientnet-b{n}" for n in range(8)] + [
    "resnet18", "resnet50", "mobilenetv1", "mobilenetv2", "mobilenetv3-large", "convnext-tiny", "convnext-small",
    "convnext-base", "convnext-large", "regnety-16gf", "vgg16", "alexnet", "vit-base-16", "deit-tiny", "deit-small",
    "swin-tiny",
]  # fmt: skip


def table():
    path = Path(__file__).parent / "data" / "timm_counts.csv"
    with path.open(encoding="utf-8") as file:
        next(file)  # the source
        return list(csv.DictReader(file))


def close(computed, published, step):
    """Within 0.5 %, or equal to all digits that are printed."""
    return abs(computed - published) <= max(0.005 * published, step / 2 * 1.0001)


def test_promised_networks_exist():
    assert set(PROMISED) <= set(NAMES)
    assert len(NAMES) >= 120


@pytest.mark.parametrize("name", [name for name in NAMES if model_entry(name).published])
def test_sizes_are_the_published_ones(name):
    entry = model_entry(name)
    model = entry.model
    assert entry.source in entry.sources
    counts = model.counts()
    assert close(model.parameters, entry.published[0], entry.steps[0])
    if entry.macs is None:  # text-to-image models are published without
        assert isinstance(model, Denoiser) or name in WITHOUT_MACS
        return
    assert close(counts.products if entry.products_only else model.macs, entry.macs[0], entry.steps[1])


@pytest.mark.parametrize("row", table(), ids=lambda row: f"{row['timm']}-{row['image_size']}")
def test_every_size_of_the_table(row):
    # activations are printed to 10 000: a wrong layer cannot hide in them as it can in rounded GMACs
    counts = ps.model(TIMM[row["timm"]]).counts(int(row["image_size"]))
    assert close(counts.macs / 1e9, float(row["gmacs"]), 0.01)
    assert close(counts.activations / 1e6, float(row["mactivations"]), 0.01)
    assert close(counts.parameters / 1e6, float(row["mparameters"]), 0.01)


def step(batch=1, size=224, **fields):
    return ImageStep(batch, size, FP16, FP16, **fields)


@pytest.mark.parametrize("name", ["resnet50", "efficientnet-b0", "densenet121", "swin-tiny", "vit-base-16", "vgg16-bn"])
def test_graphs_are_legal_and_linear_in_the_batch(name):
    model = ps.model(name)
    for attention in ("fused", "naive"):
        one = check(model.graph(step(attention=attention)))
        three = check(model.graph(step(3, attention=attention)))
        for a, b in zip(one.operators, three.operators, strict=True):
            assert 3 * a.work(one.tensors).flops == b.work(three.tensors).flops
        assert one.parameters == three.parameters


def test_attention_kernels_do_the_same_products():
    model = ps.model("swin-tiny")
    products = [
        sum(op.work(g.tensors).flops * g.count(op) for op in g.operators if op.unit is Unit.TENSOR)
        for g in (model.graph(step(attention=kind)) for kind in ("fused", "naive"))
    ]
    assert products[0] == products[1] == 2 * model.counts().products


def test_folding_removes_norms_and_adds_a_bias():
    model = ps.model("resnet50")
    folded, kept = model.graph(step()), model.graph(step(fold=False))
    assert not any(isinstance(op, BatchNorm) for op in folded.operators)
    norms = sum(kept.count(op) for op in kept.operators if isinstance(op, BatchNorm))
    assert norms == 53  # 1 stem + 16 blocks × 3 + 4 shortcuts
    channels = sum(t.elements * kept.count(t) for t in kept.of_role(Role.STATE)) // 2  # mean and variance
    assert channels == 26_560
    assert kept.parameters == folded.parameters + channels == 25_557_032  # scale and shift become one bias
    assert counts_of(folded).products == counts_of(kept).products
    # a norm in front of a convolution, behind a concatenation, cannot be folded
    dense = ps.model("densenet121").graph(step())
    assert sum(isinstance(op, BatchNorm) for op in dense.operators) == 58 + 3 + 1  # layers, transitions, the last one


def test_a_tiny_network_by_hand():
    model = Vgg(name="tiny", image_size=14, convs_per_stage=(1,), widths=(4,), classes=10)
    counts = model.counts()
    conv = 14 * 14 * 4 * 3 * 9
    fc1, fc2, head = 4096 * 4 * 49, 4096 * 4096, 4096 * 10  # the maximum leaves 7×7
    assert counts.products == counts.macs == conv + fc1 + fc2 + head
    assert counts.activations == 14 * 14 * 4 + 4096 + 4096 + 10
    assert counts.parameters == (4 * 27 + 4) + (fc1 + 4096) + (fc2 + 4096) + (head + 10)


def test_a_squeeze_and_excite_by_hand():
    plain = ResNet(name="plain", block="basic", layers_per_stage=(1,))
    gated = ResNet(name="gated", block="basic", layers_per_stage=(1,), squeeze=0.25)
    # 64 channels to 16 and back, with biases
    assert gated.parameters - plain.parameters == 64 * 16 + 16 + 16 * 64 + 64
    assert gated.macs - plain.macs == 2 * 64 * 16


def test_widths_of_regnet():
    model = ps.model("regnety-16gf")
    assert isinstance(model, RegNet)
    assert model.stages() == [(224, 2, 2), (448, 4, 4), (1232, 11, 11), (3024, 1, 27)]


def test_rounding_of_channels():
    assert [round_channels(n) for n in (1, 11.2, 18, 24, 33.6, 1280 * 1.4)] == [8, 16, 24, 24, 32, 1792]
    assert round_channels(11.2, limit=0.0) == 8


def test_depth_scaling():
    b7 = ps.model("efficientnet-b7")
    blocks = {}
    for stage, _, _, count in b7._blocks():
        blocks[stage] = blocks.get(stage, 0) + count
    assert list(blocks.values()) == [4, 7, 7, 10, 10, 13, 4]  # ceil(3.1 × 1, 2, 2, 3, 3, 4, 1)


@pytest.mark.parametrize("text", ["", "ir", "xx_r1_k3_s1_c8", "ir_r1_k3_s1", "ir_r1_k3_s1_c8_zz", "ir_r_k3_s1_c8"])
def test_a_block_that_nobody_can_read(text):
    model = MobileNet(name="mine", stages=((text,),))
    with pytest.raises(ConfigError) as refusal:
        model.counts()
    assert str(refusal.value) == f'mine: block "{text}": expected a notation like ir_r3_k5_s2_e6_c40_se0.25'


TOML = """name = "Mine"
timm = "mine"
source = "me"
macs = { value = 100, step = 10, source = "me" }
parameters = { value = 100, source = "me" }
[vision]
family = "resnet"
layers_per_stage = [1, 1]
[sources.me]
title = "mine"
"""
MISTAKES = [
    ('family = "resnet"', "", "vision.family: is None, expected one of "),
    ('family = "resnet"', 'family = "restnet"', 'vision.family "restnet"; did you mean resnet'),
    ("layers_per_stage = [1, 1]", "", "vision.layers_per_stage: is missing, expected a list, each item a whole number"),
    ("[1, 1]", "[]", "vision.layers_per_stage: is [], expected a list, each item a whole number"),
    ("[1, 1]", "[1, 1.5]", "vision.layers_per_stage[1]: is 1.5, expected a whole number"),
    ("[1, 1]", "[1, true]", "vision.layers_per_stage[1]: is True, expected a whole number"),
    ("[1, 1]", "[1, -1]", "vision.layers_per_stage[1]: is -1, expected 0 to 1000000"),
    ("[1, 1]", "[1]\nsqueeze = nan", "vision.squeeze: is nan, expected 0 to 1000000"),
    ("[1, 1]", "[1]\nstm = 3", 'unknown field of family resnet in {file}: vision "stm"; did you mean stem'),
    ("[1, 1]", '[1]\nblock = "huge"', 'vision.block: is "huge", expected one of basic, bottleneck'),
    ("[1, 1]", "[1]\nimage_size = 0", "image_size=0: expected at least 1"),
    ("step = 10", "step = 0", "macs.step: is 0, expected a whole number of at least 1"),
    ("[vision]", "[config]\nx = 1\n[vision]", "vision: stands beside [config], expected one of the two"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_mistakes_in_a_table(tmp_path, old, new, message):
    file = tmp_path / "mine.toml"
    assert old in TOML
    file.write_text(TOML.replace(old, new), encoding="utf-8")
    with pytest.raises(PerfsimError) as refusal:
        ps.model(str(file))
    assert message.format(file=file) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_network_of_ones_own(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(TOML, encoding="utf-8")
    model = ps.model(str(file))
    assert (model.name, model.family, model.shape()) == ("mine", "vision model", {"image_size": 224, "classes": 1000})
