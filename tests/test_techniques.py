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
