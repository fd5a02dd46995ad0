"""Splitting repeated layers changes nothing but their names."""

import pytest

import perfsim as ps
from perfsim.catalog import model, stack
from perfsim.errors import GraphError
from perfsim.graph import check
from perfsim.graph.regions import carried, split_region

JOB = ps.Decode(context_length=512, batch=2, dtype="bf16")


def graph(name="llama-2-7b"):
    return JOB.plan(model(name), stack("ideal")).phases[0].graph


@pytest.mark.parametrize("name", ["llama-2-7b", "gpt-j-6b", "mixtral-8x7b"])
def test_a_split_region_keeps_work_parameters_and_traffic(name):
    whole = graph(name)
    (region,) = whole.regions
    layers = whole.regions[region]
    split = check(split_region(whole, region, [3, layers - 4, 1]))
    assert list(split.regions.values()) == [3, layers - 4, 1]
    assert split.parameters == whole.parameters

    def flops(g):
        return sum(op.work(g.tensors).flops * g.count(op) for op in g.operators)

    assert flops(split) == flops(whole)
    assert sum(t.nbytes * split.count(t) for t in split.tensors.values()) >= sum(
        t.nbytes * whole.count(t) for t in whole.tensors.values()
    )


def test_the_stream_enters_from_the_embedding_and_leaves_by_the_last_addition():
    entering, leaving = carried(graph(), "layer")
    assert entering == "embedding.out"
    assert leaving.startswith("layer.")


def test_parts_must_add_up():
    with pytest.raises(GraphError) as refusal:
        split_region(graph(), "layer", [1, 2])
    assert str(refusal.value) == 'region "layer" cannot be split into [1, 2]; regions: layer=32'


def test_one_part_is_the_graph_itself():
    whole = graph()
    assert split_region(whole, "layer", [0, 32]) is whole
