"""Files that are damaged, cut off or made to hurt: one line that names what is wrong, soon and in little memory."""

import contextlib
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.onnx_graphs import FLOAT, Graph, encoder, helper, onnx, resnet50

import perfsim as ps  # isort: skip
from perfsim.errors import PerfsimError  # isort: skip

ON = "a100-sxm4-80gb"
info = helper.make_tensor_value_info


def refused(path, batch=1, **axes):
    began = time.perf_counter()
    tracemalloc.start()
    try:
        with pytest.raises(PerfsimError) as refusal:
            ps.predict(ps.model(str(path)).bind(axes), ps.SinglePass(batch=batch, dtype="fp16"), on=ON)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert time.perf_counter() - began < 5
    assert peak < 200e6
    text = str(refusal.value)
    assert "\n" not in text
    return text.replace(str(path), "FILE")


def relu(g, shape=("N", 4)):
    return g.node("Relu", g.input("x", list(shape)), name="relu")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "FILE: is empty, expected an ONNX model"),
        (
            b"\x00" * 9,
            "FILE: not an ONNX model: field 0 ends behind its message at byte 0; the file is cut off or damaged",
        ),
        (
            b"\x3a\xff\x01",
            "FILE: not an ONNX model: field 7 ends behind its message at byte 0; the file is cut off or damaged",
        ),
        (b"\x08\x08", "FILE: not an ONNX model: it holds no graph"),
    ],
)
def test_files_that_are_no_models(tmp_path, content, message):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    assert refused(path) == message


def test_every_cut_of_a_file_is_refused(tmp_path):
    g, out = resnet50()
    whole = g.model(out).SerializeToString()
    path = tmp_path / "net.onnx"
    for size in range(1, len(whole), 4001):
        path.write_bytes(whole[:size])
        text = refused(path)
        assert text.startswith("FILE: ")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_bytes(tmp_path_factory, data):
    g, out = encoder(layers=1, width=64, heads=2, tokens=8)
    content = bytearray(g.model(out).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "net.onnx"
    path.write_bytes(content)
    with contextlib.suppress(PerfsimError):  # anything else would be a traceback
        model = ps.model(str(path))
        model = model.bind(dict.fromkeys(model.unbound, 8))
        assert ps.predict(model, ps.SinglePass(dtype="fp16"), on=ON).runtime > 0


def test_a_cycle(tmp_path):
    g = Graph()
    g.input("x", ["N", 4])
    g.nodes += [
        helper.make_node("Add", ["x", "b"], ["a"], name="one"),
        helper.make_node("Relu", ["a"], ["b"], name="two"),
    ]
    assert refused(g.save(tmp_path, "b")) == "FILE: the graph has a cycle through two (Relu)"


def test_a_missing_tensor(tmp_path):
    g = Graph()
    y = g.node("Add", g.input("x", ["N", 4]), "nobody", name="sum")
    assert refused(g.save(tmp_path, y)) == "FILE: node sum (Add) reads nobody, which nothing makes"


def test_nodes_need_not_be_sorted(tmp_path):
    g = Graph()
    y = g.node("Tanh", relu(g), name="tanh")
    g.nodes.reverse()
    assert ps.predict(g.save(tmp_path, y), ps.SinglePass(batch=3, dtype="fp16"), on=ON).flops == 2 * 3 * 4


def test_a_tensor_made_twice(tmp_path):
    g = Graph()
    y = relu(g)
    g.nodes.append(helper.make_node("Tanh", ["x"], [y], name="again"))
    assert refused(g.save(tmp_path, y)) == "FILE: tensor relu is made twice; the second time by again (Tanh)"


def test_huge_and_negative_sizes(tmp_path):
    g = Graph()
    y = relu(g, [2**40, 2**40])
    text = "FILE: tensor x of shape [1099511627776, 1099511627776] has 1.21e+24 elements; expected at most 1e+13"
    assert refused(g.save(tmp_path, y)) == text
    g = Graph()
    y = relu(g, [-5, 4])
    assert refused(g.save(tmp_path, y)) == "FILE: axis 0 of input x has size -5, expected at least 0"
    g = Graph()
    y = g.node("MatMul", g.input("x", ["N", 4]), g.weight("w", 4, -7))
    assert refused(g.save(tmp_path, y)) == "FILE: tensor w has shape [4, -7]: expected sizes of at least 0"


def test_constants_that_would_fill_the_memory(tmp_path):
    g = Graph()
    big = g.node("ConstantOfShape", g.ints("s", 10**6, 10**6), name="fill")
    y = g.node("Add", g.input("x", [1]), g.node("Tile", big, g.ints("r", 1000, 1000)))
    assert "has 1e+18 elements; expected at most 1e+13" in refused(g.save(tmp_path, y))


def deep(levels):
    """An If inside an If inside an If …"""
    body = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "b", [], [info("y", FLOAT, [4])])
    for _ in range(levels):
        node = helper.make_node("If", ["yes"], ["y"], then_branch=body, else_branch=body)
        body = helper.make_graph([node], "b", [], [info("y", FLOAT, [4])])
        if len(body.SerializeToString()) > 1 << 20:
            break
    return body.node[0]


def test_deep_nesting(tmp_path):
    g = Graph()
    g.input("x", [4]), g.scalar("yes", True, 9)
    g.nodes.append(deep(12))
    ps.predict(g.save(tmp_path, "y"), ps.SinglePass(dtype="fp16"), on=ON)  # twelve levels are fine
    content = onnx.helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "b", [], []).SerializeToString()
    for _ in range(200):
        content = nested(content)
    path = tmp_path / "deep.onnx"
    path.write_bytes(b"\x3a" + varint(len(content)) + content)
    assert refused(path).startswith("FILE: not an ONNX model: ")


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def nested(graph):
    """A graph with one node with one attribute with the graph."""
    attribute = b"\x32" + varint(len(graph)) + graph
    node = b"\x2a" + varint(len(attribute)) + attribute
    return b"\x0a" + varint(len(node)) + node


def test_functions_that_call_themselves_or_explode(tmp_path):
    opset = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]

    def function(name, *calls):
        nodes = [
            helper.make_node(c, ["x"], [f"y{i}"], domain="own" if c != "Relu" else "") for i, c in enumerate(calls)
        ]
        return helper.make_function("own", name, ["x"], ["y0"], nodes, opset)

    g = Graph()
    y = g.node("f", g.input("x", ["N", 4]), domain="own")
    text = "FILE: function f calls itself; such graphs cannot be inlined"
    assert refused(g.save(tmp_path, y, functions=[function("f", "f")], domains=["own"])) == text
    chain = [function(f"f{i}", f"f{i + 1}", f"f{i + 1}") for i in range(40)] + [function("f40", "Relu")]
    g = Graph()
    y = g.node("f0", g.input("x", ["N", 4]), domain="own")
    text = refused(g.save(tmp_path, y, functions=chain, domains=["own"]))
    assert text == "FILE: 1099511627776 nodes with its functions inlined; expected at most 20000"


def test_functions_are_inlined(tmp_path):
    opset = [helper.make_opsetid("", 18)]
    body = [helper.make_node("Relu", ["x"], ["t"]), helper.make_node("Add", ["t", "x"], ["y"])]
    g = Graph()
    y = g.node("twice", g.input("x", ["N", 4]), domain="own")
    function = helper.make_function("own", "twice", ["x"], ["y"], body, opset)
    path = g.save(tmp_path, y, functions=[function], domains=["own"])
    assert ps.predict(path, ps.SinglePass(batch=2, dtype="fp16"), on=ON).flops == 2 * 2 * 4


def test_wrong_attributes(tmp_path):
    g = Graph()
    x = g.input("x", [1, 8, 16, 16])
    y = g.node("Conv", x, g.weight("w", 6, 2, 3, 3), name="conv", group=4)
    assert "node conv (Conv)" in refused(g.save(tmp_path, y))
    g = Graph()
    y = g.node("MatMul", g.input("x", ["N", 4]), g.weight("w", 5, 6), name="product")
    assert refused(g.save(tmp_path, y)).startswith("FILE: node product (MatMul) does not fit its inputs: ")
    g = Graph()
    parts = g.node("Split", g.input("x", ["N", 4]), outputs=2, num_outputs=9, name="split")
    text = "FILE: node split (Split) does not fit its inputs: it says num_outputs=9 and has 2 outputs"
    assert refused(g.save(tmp_path, *parts)) == text
    g = Graph()
    y = g.node("Transpose", g.input("x", ["N", 4]), perm=[0, 7], name="turn")
    assert "node turn (Transpose)" in refused(g.save(tmp_path, y))


def test_weights_inside_the_file_are_not_read(tmp_path):
    g = Graph()
    y = g.node("MatMul", g.input("x", ["N", 4096]), "w")
    path = tmp_path / "net.onnx"
    g.stored.append(helper.make_tensor("w", FLOAT, (4096, 1024), bytes(4 * 4096 * 1024), raw=True))
    path.write_bytes(g.model(y).SerializeToString())
    tracemalloc.start()
    model = ps.model(str(path))
    assert model.counts().products == 4096 * 1024
    assert tracemalloc.get_traced_memory()[1] < 4e6  # the file has 16.8 MB
    tracemalloc.stop()
    assert len(model.proto.SerializeToString()) < 1000


def test_without_the_package(monkeypatch, tmp_path):
    import sys

    g = Graph()
    path = g.save(tmp_path, relu(g))
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert (
        refused(path) == "FILE: reading ONNX files needs the package onnx; install it with: pip install perfsim[onnx]"
    )


def test_a_thousand_nodes_and_resnet50_in_time(tmp_path):
    g, out = encoder(layers=32, tokens=64)
    assert len(g.nodes) > 1000
    began = time.perf_counter()
    ps.predict(g.save(tmp_path, out), ps.SinglePass(dtype="fp16"), on=ON)
    assert time.perf_counter() - began < 2
    g, out = resnet50()
    path = g.save(tmp_path, out, name="resnet50.onnx")
    began = time.perf_counter()
    ps.predict(path, ps.SinglePass(dtype="fp16"), on=ON)
    assert time.perf_counter() - began < 0.3
