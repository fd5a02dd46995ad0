"""Tensors, operators and the graph of both: building, counting, checking, editing."""

from dataclasses import replace

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsim.errors import GraphError
from perfsim.graph import GraphBuilder, Operator, OperatorGraph, Placement, Role, Tensor, check
from perfsim.graph.edit import exchanged, insert_after, map_tensors, reshaped
from perfsim.ops import AllReduce, Elementwise, Linear, Norm
from perfsim.quantities.dtypes import DTYPES
from tests.strategies import models, step

FP16, INT8 = DTYPES["fp16"], DTYPES["int8"]


def chain(count=3):
    """x (2, 4, 8) → three times [norm, linear 8 → 8] → head linear 8 → 10."""
    b = GraphBuilder()
    x = b.tensor("x", (2, 4, 8), FP16, Role.INDEX)
    with b.region("layer", count):
        x = b.add(Norm, "norm", (x, b.weight("norm.weight", (8,), FP16)))
        x = b.add(Linear, "linear", (x, b.weight("linear.weight", (8, 8), FP16, 1)))
    b.add(Linear, "head", (x, b.weight("head.weight", (8, 10), FP16)))
    return b.build()


def test_the_builder_names_and_shapes_everything():
    graph = chain()
    assert [op.name for op in graph.operators] == ["layer.norm", "layer.linear", "head"]
    assert [op.region for op in graph.operators] == ["layer", "layer", ""]
    assert graph.tensors["head.out"].shape == (2, 4, 10)
    assert graph.tensors["head.out"].dtype is FP16
    assert graph.tensors["layer.linear.weight"].shard == 1
    assert check(graph) is graph


def test_regions_stand_for_their_repetitions():
    graph = chain(count=3)
    assert graph.parameters == 3 * (8 + 8 * 8) + 8 * 10  # 296
    assert graph.footprint(Role.WEIGHT) == 2 * 296  # fp16
    assert graph.count(graph.operator("layer.norm")) == 3
    assert graph.count(graph.operator("head")) == 1


def test_producers_and_consumers():
    graph = chain()
    assert graph.producer("layer.norm.out") is graph.operator("layer.norm")
    assert graph.producer("x") is None
    assert graph.consumers("layer.norm.out") == (graph.operator("layer.linear"),)
    assert graph.consumers("head.out") == ()


def test_a_view_takes_no_memory_of_its_own():
    b = GraphBuilder()
    x = b.tensor("x", (1, 1, 8), FP16, Role.INDEX)
    table = b.weight("table", (10, 8), FP16)
    head = b.view("head", table, (8, 10))
    b.add(Linear, "logits", (x, head))
    graph = b.build()
    assert graph.parameters == 80
    assert graph.footprint(Role.WEIGHT) == 160
    assert [t.name for t in graph.of_role(Role.WEIGHT)] == ["table"]
    assert graph.tensors["head"].nbytes == 160  # its bytes are read all the same


def test_packed_formats_round_up():
    tensor = Tensor("w", (3, 5), DTYPES["int4"])
    assert tensor.elements == 15
    assert tensor.nbytes == 8  # 60 bits
    assert tensor.replace(dtype=FP16).nbytes == 30
    assert tensor.dtype is DTYPES["int4"]  # a copy was changed, not the tensor


def test_frozen():
    graph = chain()
    for thing in (graph, graph.operators[0], graph.tensors["x"]):
        with pytest.raises(AttributeError):
            thing.name = "other"


def test_networkx_shows_both_kinds_of_node():
    digraph = chain().to_networkx()
    assert networkx.is_directed_acyclic_graph(digraph)
    assert networkx.is_frozen(digraph)
    assert len(digraph) == 3 + 7  # operators; x, three weights, three outputs
    assert digraph.number_of_edges() == 3 * 2 + 3  # two inputs and one output each
    assert list(digraph.successors(("operator", "layer.norm"))) == [("tensor", "layer.norm.out")]
    assert digraph.nodes["operator", "head"]["operator"].kind == "linear"


def test_duplicate_names_and_regions_are_refused():
    b = GraphBuilder()
    b.weight("w", (1,), FP16)
    with pytest.raises(GraphError) as refusal:
        b.weight("w", (1,), FP16)
    assert str(refusal.value) == 'two tensors are named "w"'
    with pytest.raises(GraphError) as refusal, b.region("a", 2), b.region("b", 2):
        pass
    assert str(refusal.value) == 'region "b" is nested or declared twice; regions are flat and have unique names'


def test_an_unknown_operator_lists_the_known_ones():
    with pytest.raises(GraphError) as refusal:
        chain().operator("tail")
    assert str(refusal.value) == 'no operator "tail" in the graph; there are: layer.norm, layer.linear, head'


def _edited(graph, **changes):
    return replace(graph, **changes)


def _with(graph, op):
    return replace(graph, operators=(*graph.operators, op))


BROKEN = {
    'two operators are named "head"': lambda g: _edited(g, operators=(*g.operators, g.operators[-1])),
    'operator "layer.norm" is in region "layer", which is not declared': lambda g: _edited(g, regions={}),
    'operator "more" uses tensor "ghost", which does not exist': lambda g: _with(
        g, Norm("more", ("ghost",), ("ghost2",))
    ),
    'operator "layer.norm" uses tensor "x", which does not exist': lambda g: _edited(
        g, tensors={k: v for k, v in g.tensors.items() if k != "x"}
    ),
    'operator "layer.linear" reads "layer.norm.out" before it is produced: cycle or wrong order': lambda g: _edited(
        g, operators=(g.operators[1], g.operators[0], g.operators[2])
    ),
    'tensor "head.out" has two producers; the second is "again"': lambda g: _with(
        g, replace(g.operators[-1], name="again")
    ),
    'operator "head" has 2 outputs but derives 1 shapes': lambda g: _edited(
        g,
        operators=(*g.operators[:2], replace(g.operators[2], outputs=("head.out", "x2"))),
        tensors={**g.tensors, "x2": Tensor("x2", (1,), FP16)},
    ),
    'tensor "head.out" has shape (2, 4, 11), operator "head" derives (2, 4, 10)': lambda g: _edited(
        g, tensors={**g.tensors, "head.out": g.tensors["head.out"].replace(shape=(2, 4, 11))}
    ),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_graph_is_refused(message):
    with pytest.raises(GraphError) as refusal:
        check(BROKEN[message](chain()))
    assert str(refusal.value) == message


def test_a_loop_is_refused():
    tensors = {name: Tensor(name, (4,), FP16) for name in ("a", "b")}
    loop = OperatorGraph((Elementwise("f", ("a",), ("b",)), Elementwise("g", ("b",), ("a",))), tensors)
    with pytest.raises(GraphError) as refusal:
        check(loop)
    assert str(refusal.value) == 'operator "f" reads "a" before it is produced: cycle or wrong order'


def test_changed_weights_change_the_shapes_behind_them():
    def widen(tensor):
        return tensor.replace(shape=(8, 20)) if tensor.name == "head.weight" else tensor

    graph = chain()
    wider = check(map_tensors(graph, widen))
    assert wider.tensors["head.out"].shape == (2, 4, 20)
    assert graph.tensors["head.out"].shape == (2, 4, 10)


def test_formats_change_traffic_not_work():
    graph = chain()
    narrow = map_tensors(graph, lambda t: t.replace(dtype=INT8) if t.role is Role.WEIGHT else t)
    assert narrow.footprint(Role.WEIGHT) * 2 == graph.footprint(Role.WEIGHT)
    old, new = (g.operator("head").work(g.tensors) for g in (graph, narrow))
    assert new.flops == old.flops == 2 * 8 * 8 * 10  # 2·rows·k·n with 2·4 rows


def test_operators_are_exchanged_in_their_place():
    graph = chain()

    def factored(op, tensors):
        """The head of 8 × 10 weights as 8 × 2 and 2 × 10."""
        old = tensors.pop(op.inputs[1])
        thin, wide = (old.replace(name=f"head.{n}", shape=s) for n, s in (("thin", (8, 2)), ("wide", (2, 10))))
        between = tensors[op.outputs[0]].replace(name="head.between")
        tensors.update({t.name: t for t in (thin, wide, between)})
        yield Linear("head.first", (op.inputs[0], thin.name), (between.name,))
        yield Linear("head.second", (between.name, wide.name), op.outputs)

    made = check(reshaped(exchanged(graph, [graph.operator("head")], factored)))
    assert [op.name for op in made.operators] == ["layer.norm", "layer.linear", "head.first", "head.second"]
    assert made.tensors["head.between"].shape == (2, 4, 2)
    assert graph.parameters - made.parameters == 8 * 10 - (8 * 2 + 2 * 10)
    assert exchanged(graph, [], factored).operators == graph.operators


def test_an_operator_is_inserted_behind_a_tensor():
    def reduce(source, output):
        return AllReduce("reduce", (source,), (output,), "layer", 2)

    graph = check(insert_after(chain(), {"layer.linear.out": reduce}))
    assert [op.name for op in graph.operators] == ["layer.norm", "layer.linear", "reduce", "head"]
    assert graph.operator("head").inputs[0] == "layer.linear.out.whole"
    assert graph.tensors["layer.linear.out.whole"].shape == (2, 4, 8)
    assert graph.tensors["layer.linear.out.whole"].region == "layer"


@given(models(), st.sampled_from(["naive", "fused", "paged"]), st.booleans())
def test_every_family_builds_legal_graphs(model, attention, decode):
    tokens, context = (1, 33) if decode else (33, 33)
    graph = model.graph(step(tokens, context, batch=2, attention=attention, decode=decode, block_tokens=16))
    assert check(graph) is graph
    assert reshaped(graph).parameters == model.parameters
    assert networkx.is_directed_acyclic_graph(graph.to_networkx())
    assert all(t.placement is Placement.MAIN for t in graph.tensors.values())
    used = {name for op in graph.operators for name in (*op.inputs, *op.outputs)}
    assert used == set(graph.tensors)  # nothing is stored that nobody reads or writes


def test_operators_are_abstract():
    with pytest.raises(TypeError):
        Operator("x", (), ())
