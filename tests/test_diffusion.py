"""Diffusion models: denoisers by hand arithmetic and published sizes, the job, bounds, refusals."""

import json

import pytest
from click.testing import CliRunner

import perfsim as ps
from perfsim.architectures import ImageStep
from perfsim.architectures.vision import Dit, KlDecoder, Mmdit
from perfsim.cli.main import cli
from perfsim.errors import InputError
from perfsim.graph import Unit, check
from perfsim.ops import FusedAttention
from perfsim.quantities.dtypes import DTYPES

FP16 = DTYPES["fp16"]
NAMES = ["dit-xl-2-256", "flux.1-dev", "pixart-sigma-xl-2-1024", "sd3.5-large", "sd3.5-medium"]


def linear(inputs, outputs):
    return inputs * outputs + outputs


def embedding(inputs, hidden):
    return linear(inputs, hidden) + linear(hidden, hidden)


def products(g):
    return sum(op.work(g.tensors).flops * g.count(op) for op in g.operators if op.unit is Unit.TENSOR)


def graph(model, batch=1, **fields):
    return model.graph(ImageStep(batch, model.image_size, FP16, FP16, **fields))


@pytest.mark.parametrize("name", NAMES)
def test_graphs_are_legal_and_linear_in_the_batch(name):
    model = ps.model(name)
    for attention in ("fused", "naive"):
        one, two = check(graph(model, attention=attention)), check(graph(model, 2, attention=attention))
        assert 2 * products(one) == products(two) == 4 * model.counts().products
        assert one.parameters == two.parameters == model.parameters


def test_dit_by_hand():
    h, tokens = 1152, 16 * 16  # an eighth of 256 pixels in patches of 2
    attention, mlp, modulation = 4 * linear(h, h), linear(h, 4 * h) + linear(4 * h, h), linear(h, 6 * h)
    ends = linear(4 * 4, h) + embedding(256, h) + 1001 * h + linear(h, 2 * h) + linear(h, 4 * 8)
    model = ps.model("dit-xl-2-256")
    assert model.parameters == 28 * (attention + mlp + modulation) + ends
    layer = tokens * 12 * h * h + 2 * tokens * tokens * h + 6 * h * h
    around = tokens * (16 * h + h * 32) + 256 * h + h * h + 2 * h * h
    assert model.counts().products == 28 * layer + around
    # README of facebookresearch/DiT: 119 and 525 Gflops
    assert [round(model.counts(size).products / 1e9) for size in (256, 512)] == [119, 525]


def test_two_streams_by_hand():
    h, dim = 2432, 64
    attention, mlp, norms = 4 * linear(h, h), linear(h, 4 * h) + linear(4 * h, h), 2 * dim
    stream = attention + mlp + linear(h, 6 * h) + norms
    last_text = 3 * linear(h, h) + linear(h, 2 * h) + norms
    ends = linear(4 * 16, h) + embedding(256, h) + embedding(2048, h) + linear(4096, h) + linear(h, 2 * h)
    expected = 37 * 2 * stream + stream + last_text + ends + linear(h, 64)
    model = ps.model("sd3.5-large")
    assert model.parameters - 192**2 * h == expected == 8_056_627_520  # without the stored table of places


def test_streams_that_join_by_hand():
    h, dim = 3072, 128
    pair = 2 * (4 * linear(h, h) + linear(h, 4 * h) + linear(4 * h, h) + linear(h, 6 * h) + 2 * dim)
    joint = linear(h, 3 * h) + 3 * linear(h, h) + linear(h, 4 * h) + linear(5 * h, h) + 2 * dim
    ends = linear(4 * 16, h) + 2 * embedding(256, h) + embedding(768, h) + linear(4096, h) + linear(h, 2 * h)
    assert ps.model("flux.1-dev").parameters == 19 * pair + 38 * joint + ends + linear(h, 64) == 11_901_408_320


def test_image_and_text_tokens_attend_together():
    g = graph(ps.model("sd3.5-medium"))
    contexts = {op.name: op.context for op in g.operators if isinstance(op, FusedAttention)}
    both, image = 64 * 64 + 333, 64 * 64
    assert contexts == {
        "twice.attention.fused": both, "twice.again.fused": image, "pairs.attention.fused": both,
        "last.attention.fused": both,
    }  # fmt: skip


def test_a_small_decoder_by_hand():
    model = KlDecoder(name="small", widths=(64, 32), blocks=1, channels=4, quantized=False, image_size=16)

    def residual(inputs, outputs):
        shortcut = linear(inputs, outputs) if inputs != outputs else 0
        return 2 * inputs + linear(9 * inputs, outputs) + 2 * outputs + linear(9 * outputs, outputs) + shortcut

    attention = 2 * 64 + 4 * linear(64, 64)
    up = residual(64, 64) + linear(9 * 64, 64) + residual(64, 32)
    assert model.parameters == (
        linear(9 * 4, 64) + 2 * residual(64, 64) + attention + up + 2 * 32 + linear(9 * 32, 3)
    )
    step = ImageStep(2, 16, FP16, FP16)
    g = check(model.graph(step))
    assert g.tensors["latent"].shape == (2, 4, 8, 8)
    assert g.tensors[g.operators[-1].outputs[0]].shape == (2, 3, 16, 16)


def job(**fields):
    return ps.Diffusion(**{"dtype": "bf16", **fields})


def test_time_is_that_of_the_steps_and_of_the_decoder():
    model = ps.model("sd3.5-medium")
    few, many = (ps.predict(model, job(steps=steps), on="h100-sxm5-80gb") for steps in (1, 11))
    denoise, pixels = many.phases
    assert (denoise.name, pixels.name) == ("denoise", "pixels")
    assert many.runtime == pytest.approx(denoise.runtime + pixels.runtime)
    assert many.runtime - few.runtime == pytest.approx(10 / 11 * denoise.runtime, rel=1e-6)
    assert many.throughput == pytest.approx(1 / many.runtime)
    decoder = 2 * (49_545_475)  # 16 latent channels, no first 1×1 convolution
    assert many.memory.weights == pytest.approx(2 * model.parameters + decoder, rel=1e-3)


def test_guidance_doubles_the_work_of_a_step():
    sizes = {"hidden": 256, "heads": 4, "depth": 2, "image_size": 256}
    models = (Mmdit(name="m", guided=guided, **sizes) for guided in (False, True))
    once, twice = (ps.predict(model, job(steps=4), on="h100-sxm5-80gb") for model in models)
    work = [p.phases[0].flops for p in (once, twice)]
    assert work[1] == pytest.approx(2 * work[0])
    assert once.phases[1].flops == twice.phases[1].flops


# ML.ENERGY leaderboard v3, xDiT in bf16, one H100, batch 1, 1024 × 1024 pixels: steps, latency of the image [s]
MEASURED = {
    "flux.1-dev": (50, 11.6392), "pixart-sigma-xl-2-1024": (20, 1.1310247),
    "sd3.5-large": (28, 6.5581085), "sd3.5-medium": (28, 3.5254753),
}  # fmt: skip


@pytest.mark.parametrize("name", MEASURED)
def test_the_bound_lies_below_measurements(name):
    steps, latency = MEASURED[name]
    p = ps.predict(name, job(steps=steps), on="h100-sxm5-80gb")
    assert 0.1 * latency < p.runtime < latency  # the bound is a bound, and not an empty one


def test_the_command_line():
    words = ("predict", "dit-xl-2-256", "--on", "h100-sxm5-80gb", "--dtype", "fp16", "--steps", "50", "--json")
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert (data["task"], data["workload"]["steps"], data["workload"]["image_size"]) == ("diffusion", 50, 256)


REFUSALS = [
    ("resnet50", {}, "resnet50 is a vision model, but Diffusion needs a diffusion model; use single-pass"),
    (
        "dit-xl-2-256", {"image_size": 250},
        "image_size=250 for dit-xl-2-256: 250 pixels are no whole number of tokens: expected a multiple of 16",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "fields", "message"), REFUSALS)
def test_refusals(name, fields, message):
    with pytest.raises(InputError) as refusal:
        ps.predict(name, job(**fields), on="h100-sxm5-80gb")
    assert str(refusal.value) == message


def test_steps_are_at_least_one():
    with pytest.raises(InputError, match="steps=0: expected a whole number, at least 1"):
        job(steps=0)


def test_networks_scale_in_depth():
    tiny = Dit(name="tiny", hidden=64, heads=2, depth=2)
    assert tiny.scaled(depth=2).depth == 4
