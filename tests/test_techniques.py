"""Rules that every technique keeps, over the whole registry."""

import dataclasses
import inspect
import re
import subprocess
import sys

import pytest
from hypothesis import given

import perfsim as ps
from perfsim.errors import InputError, UnknownNameError
from perfsim.graph import Role
from perfsim.techniques.base import Technique
from perfsim.techniques.registry import parse_technique, technique_classes
from tests.strategies import devices, jobs, models, techniques

CLASSES = technique_classes()


@pytest.mark.parametrize("name", CLASSES)
def test_a_technique_is_documented(name):
    kind = CLASSES[name]
    assert kind.name == name
    assert kind.reference
    assert kind.__doc__
    for item in kind.describe():
        assert item["meaning"], f"{name}.{item['name']} has no meaning"
        assert item["unit"]
        ranged = item["choices"] or item["least"] is not None or isinstance(item["default"], str)
        assert ranged, f"{name}.{item['name']} has no range"


@pytest.mark.parametrize("name", CLASSES)
def test_a_technique_is_frozen_and_survives_its_text(name):
    technique = CLASSES[name]()
    assert parse_technique(str(technique)) == technique
    for field in dataclasses.fields(technique):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(technique, field.name, 1)


@pytest.mark.parametrize(
    ("name", "field", "bound"),
    [
        (n, i["name"], b)
        for n, k in CLASSES.items()
        for i in k.describe()
        for b in ("least", "most")
        if i[b] is not None
    ],
)
def test_what_lies_outside_its_range_is_refused(name, field, bound):
    (item,) = (i for i in CLASSES[name].describe() if i["name"] == field)
    outside = item[bound] + (-1 if bound == "least" else 1)
    with pytest.raises(InputError) as refusal:
        CLASSES[name](**{field: outside})
    assert (
        str(refusal.value) == f"{name}: {field}={outside}: expected {item['least']} to {item['most']} [{item['unit']}]"
    )


def test_unknown_techniques():
    with pytest.raises(UnknownNameError) as refusal:
        parse_technique("weight-quantisation")
    assert str(refusal.value) == (
        'unknown technique "weight-quantisation"; did you mean weight-quantization, '
        "weight-activation-quantization or kv-cache-quantization? "
        "List them with: perfsim techniques"
    )


CLASH = """
from perfsim.errors import InputError
from perfsim.techniques.base import PlanRewrite
from perfsim.techniques.registry import technique_classes
import perfsim.techniques.parallel

class Copy(PlanRewrite):
    name = "parallel"
    def apply(self, plan, context):
        return plan

try:
    technique_classes()
except InputError as error:
    print(error)
"""


def test_two_techniques_of_one_name_clash(tmp_path):
    script = tmp_path / "clashing.py"  # a process of its own: the second class must not stay in the registry
    script.write_text(CLASH, encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    original = inspect.getfile(CLASSES["parallel"])
    lead, first, second = re.fullmatch(r"(.*: )(.*) and (.*)\n", done.stdout).groups()
    assert lead == 'two techniques are named "parallel": '
    assert {first, second} == {original, str(script)}


@given(models(), jobs(), devices(), techniques())
def test_quantisation_keeps_matrix_work_and_saves_bytes(model, job, device, using):
    plain, rewritten = (ps.predict(model, job, on=device, using=u) for u in ([], using))
    assert sum(p.total("matrix_flops") for p in rewritten.costs) == pytest.approx(
        sum(p.total("matrix_flops") for p in plain.costs)
    )
    assert rewritten.memory.total <= plain.memory.total
    if using:
        before, after = (p.memory.weights + p.memory.kv_cache for p in (plain, rewritten))
        assert after < before
    assert isinstance(rewritten.using, tuple)
    assert all(isinstance(t, Technique) for t in rewritten.using)


@given(models(), jobs(), devices())
def test_techniques_on_different_parts_commute(model, job, device):
    chain = ["weight-quantization:bits=4", "kv-cache-quantization:format=int8"]
    one, other = (ps.predict(model, job, on=device, using=u) for u in (chain, chain[::-1]))
    assert one.runtime == other.runtime
    assert one.memory.total == other.memory.total


def test_formats_wider_than_the_packed_one_are_left_alone():
    device = ps.device("a100-sxm4-80gb")
    p = ps.predict("gpt2", ps.Decode(dtype="int8"), on=device, using=["weight-quantization:bits=8"])
    q = ps.predict("gpt2", ps.Decode(dtype="int8"), on=device)
    assert p.memory.weights == q.memory.weights  # 8 bits and a scale are more than 8 bits
    assert p.costs[0].graph.footprint(Role.WEIGHT) == p.memory.weights


NETWORKS = {
    "gpt2": ps.Inference(prompt_tokens=64, output_tokens=16, batch=2),
    "mixtral-8x7b": ps.Inference(prompt_tokens=64, output_tokens=16, batch=2),
    "resnet50": ps.SinglePass(batch=2),
    "vit-base-16": ps.SinglePass(batch=2),
}


CHANGED_WITHOUT_EFFECT = {
    "sliding-window": "the window is wider than the context",
    "block-fusion": "its own remark says why no block was fused",
}
"""Techniques that change the plan here, but no total."""


def totals(p):
    return (p.runtime, p.traffic, p.flops, p.memory.total)


@pytest.mark.parametrize("model", NETWORKS)
@pytest.mark.parametrize("name", [n for n, k in CLASSES.items() if k.neutral is not None])
def test_neutral_parameters_change_nothing_or_are_refused_with_a_reason(name, model):
    technique = CLASSES[name](**CLASSES[name].neutral)
    assert technique.is_neutral
    plain = ps.predict(model, NETWORKS[model], on="h200-sxm-141gb")
    try:
        p = ps.predict(model, NETWORKS[model], on="h200-sxm-141gb", using=[technique])
    except InputError as error:
        if not str(error).startswith(f"{name} cannot apply to {model}: "):
            raise
        return
    assert totals(p) == totals(plain)
    assert p.idle == (technique,)


@pytest.mark.parametrize("name", CLASSES)
def test_what_changes_nothing_is_said(name):
    for model, job in NETWORKS.items():
        try:
            p = ps.predict(model, job, on="h200-sxm-141gb", using=[name])
        except InputError:
            continue
        unchanged = totals(p) == totals(ps.predict(model, job, on="h200-sxm-141gb"))
        said = any(remark.startswith(f"{name} changes nothing: ") for remark in p.remarks)
        assert said == unchanged or (unchanged and name in CHANGED_WITHOUT_EFFECT), model


def test_the_remark_tells_what_is_neutral():
    def remarks(*using):
        return ps.predict("gpt2", NETWORKS["gpt2"], on="h200-sxm-141gb", using=using).remarks

    assert remarks("speculative-decoding") == (
        'speculative-decoding changes nothing: draft="" is neutral; state another draft',
    )
    assert remarks("fused-attention") == ("fused-attention changes nothing: it found nothing to act on",)
    assert remarks("unstructured-sparsity:density=1,index=csr-32") == (
        "unstructured-sparsity changes nothing: density=1.0 is neutral; state another density",
    )
    assert remarks("kv-cache-quantization", "weight-quantization") == ()


@pytest.mark.parametrize(
    ("using", "reason"),
    [
        ("kv-cache-quantization", "the job keeps no KV cache"),
        ("paged-cache", "the job keeps no KV cache"),
        ("reserved-cache", "the job keeps no KV cache"),
        ("speculative-decoding", "a vision model writes no tokens one by one"),
        ("step-speculation", "a vision model writes no tokens one by one"),
        ("low-rank", "its layers have no plain matrices, only filters or experts"),
        ("tensor-train", "its layers have no plain matrices, only filters or experts"),
    ],
)
def test_what_has_no_place_in_a_convolutional_network_is_refused(using, reason):
    with pytest.raises(InputError) as refusal:
        ps.predict("resnet50", NETWORKS["resnet50"], on="h200-sxm-141gb", using=[using])
    assert str(refusal.value) == f"{using} cannot apply to resnet50: {reason}"


@pytest.mark.parametrize(
    "using", ["sparse-attention:share=1,budget=0", "kv-eviction:keep=1", "mixture-of-depths:share=1"]
)
def test_whole_shares_keep_everything(using):
    plain, p = (ps.predict("gpt2", NETWORKS["gpt2"], on="h200-sxm-141gb", using=u) for u in ([], [using]))
    assert totals(p) == totals(plain)
