"""Techniques change a network before the framework adds its casts: what is packed is neither kept wide nor cast."""

import pytest

import perfsim as ps
from perfsim.graph import Role

JOB = ps.SinglePass(batch=8, dtype="fp16")
SQUEEZED = [("semi-structured-sparsity", 9), ("weight-quantization:bits=4", 4.15625)]
"""Technique, bits per weight: half of 16 and 2 positions of 2 bits per 4; 4 bits, and 16 + 4 of scale and zero per 128
weights. The stem and the classifier are outside of the repeated layers and keep their formats."""


def kept(stack, *using):
    return ps.predict("resnet50", JOB, on="a100-sxm4-80gb", stack=stack, using=using)


@pytest.mark.parametrize("stack", ["pytorch-eager", "pytorch-channels-last", "pytorch-compile"])
@pytest.mark.parametrize("technique", [name for name, _ in SQUEEZED])
def test_packed_weights_are_stored_as_without_a_framework(stack, technique):
    plain, small = kept(stack), kept(stack, technique)
    (before,), (after,) = plain.costs, small.costs
    filters = {t.name for t in before.graph.of_role(Role.WEIGHT) if len(t.shape) > 1}
    assert {before.graph.tensors[name].dtype.name for name in filters} == {"fp32"}
    ideal = kept("ideal", technique).costs[0].graph
    packed = {name for name in filters if ideal.tensors[name].dtype.bits != 16}
    assert len(filters) - len(packed) <= 2
    for name in filters:
        expected = ideal.tensors[name].dtype.name if name in packed else "fp32"
        assert after.graph.tensors[name].dtype.name == expected
    casts = {op.inputs[0] for op in after.graph.operators if op.name.partition(".cast")[1]}
    assert not casts & packed
    assert small.memory.weights < plain.memory.weights / 2


@pytest.mark.parametrize(("technique", "bits"), SQUEEZED)
def test_bits_per_weight(technique, bits):
    graph = kept("pytorch-eager", technique).costs[0].graph
    weights = [t for t in graph.of_role(Role.WEIGHT) if len(t.shape) > 1]
    assert {t.dtype.bits for t in weights} == {bits, 32}
