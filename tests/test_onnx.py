"""Reading ONNX files: the same sizes as the catalogue's networks, open axes, constants, control flow, missing rules."""

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.onnx_graphs import FLOAT, INT64, Graph, encoder, helper, mobilenet_v2, onnx, resnet50, scalar

import perfsim as ps  # isort: skip
from perfsim.cli.main import cli  # isort: skip
from perfsim.errors import PerfsimError  # isort: skip
from perfsim.graph import Role, check  # isort: skip

ON = "a100-sxm4-80gb"
DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
info = helper.make_tensor_value_info


def single(model, **fields):
    return ps.predict(model, ps.SinglePass(**{"dtype": "fp16", **fields}), on=ON)


def text_of(action):
    with pytest.raises(PerfsimError) as refusal:
        action()
    return str(refusal.value)


@pytest.mark.parametrize(("build", "name"), [(resnet50, "resnet50"), (mobilenet_v2, "mobilenetv2")])
def test_the_same_network_as_in_the_catalogue(tmp_path, build, name):
    net, out = build()
    imported, known = ps.model(net.save(tmp_path, out)), ps.model(name)
    assert imported.counts() == known.counts()
    assert (imported.parameters, imported.macs) == (known.parameters, known.macs)
    a, b = single(imported, batch=8), single(known, batch=8)
    assert a.runtime == pytest.approx(b.runtime, rel=1e-3)
    assert a.memory.weights == pytest.approx(b.memory.weights, rel=1e-3)  # batch norms folded into biases
    assert a.coverage.operators == a.coverage.flops == a.coverage.traffic == 1


def test_a_graph_that_is_read_is_legal(tmp_path):
    for index, (net, out) in enumerate((resnet50(), encoder(layers=2, tokens=16))):
        check(single(net.save(tmp_path, out, name=f"{index}.onnx")).costs[0].graph)


LIGHT = {  # products of convolutions and dense layers, stored parameters: arithmetic over the files' shapes
    "resnet50": (4_089_184_256, 25_557_032), "vgg19": (19_632_062_464, 143_667_240),
    "bvlc_alexnet": (654_560_384, 60_965_224),
    "squeezenet": (349_151_936, 1_235_496),
}  # fmt: skip


@pytest.mark.parametrize("name", LIGHT)
def test_light_models_of_the_onnx_wheel(name):
    counts = ps.model(str(DATA / "light" / f"light_{name}.onnx")).counts()
    assert (counts.products, counts.parameters) == LIGHT[name]


def test_every_graph_of_the_onnx_wheel_is_read_or_refused_in_one_line():
    refused = []
    paths = sorted(DATA.rglob("*.onnx"))
    for path in paths:
        try:
            model = ps.model(str(path))
            single(model, batch=model.inputs.fixed_batch() or 1)
        except PerfsimError as error:
            refused.append(str(error))
            assert "\n" not in refused[-1]
    reasons = ("computes nothing", "is made by no node", "whose shape is not known")  # constants, sequences
    assert all(any(reason in text for reason in reasons) for text in refused)
    assert len(refused) <= 13
    assert len(paths) >= 140


def test_a_transformer_with_computed_shapes(tmp_path):
    g, out = encoder(layers=12)
    model = ps.model(g.save(tmp_path, out)).bind(sequence=128)
    tokens, width = 128, 768
    assert model.counts().products == 12 * (12 * width**2 * tokens + 2 * tokens**2 * width)
    norms = 12 * 2 * 5 * tokens * width
    assert model.macs == model.counts().products + norms
    per_layer = 12 * width**2 + 9 * width + 4 * width  # four projections, two of the MLP, their biases, two norms
    assert model.parameters == 30522 * width + 12 * per_layer
    assert single(model, batch=4).flops > 2 * 4 * model.counts().products


def test_what_computes_shapes_costs_nothing(tmp_path):
    g, out = encoder(layers=1)
    kinds = {row.kind for row in single(ps.model(g.save(tmp_path, out)).bind(sequence=16)).operators}
    assert not kinds & {"concat", "shape", "unsqueeze", "reshape", "unmodelled"}


def test_open_axes_must_be_bound(tmp_path):
    g, out = encoder(layers=1)
    path = g.save(tmp_path, out)
    assert text_of(lambda: single(path)) == (
        f"{path}: axis sequence of input input_ids is open; bind it with --set model.axis.sequence=SIZE, in Python "
        f'model.bind({{"sequence": SIZE}})'
    )
    model = ps.model(path)
    assert (model.unbound, model.macs) == (("sequence",), None)
    text = text_of(lambda: single(model.bind(sequenze=3)))
    assert text == f'unknown axis of {path} "sequenze"; did you mean sequence?'
    assert text_of(lambda: model.bind(sequence=-1)) == f"axis sequence=-1 of {path}: expected a whole number, 0 to 1e9"
    short, long = (single(model.bind(sequence=n)).flops for n in (64, 128))
    assert long > 2 * short  # attention is quadratic


def test_the_job_binds_batch_and_image_size(tmp_path):
    net, out = resnet50("N", "side")
    path = net.save(tmp_path, out)
    assert single(path, batch=2, image_size=224).flops == 2 * single(path, image_size=224).flops
    assert "state image_size (--image-size 224)" in text_of(lambda: single(path))
    net, out = resnet50(16)
    path = net.save(tmp_path, out, name="fixed.onnx")
    text = f"batch=1: {path} fixes its batch at 16; use batch=16, bind an axis, or export it with a dynamic batch axis"
    assert text_of(lambda: single(path)) == text
    p = single(path, batch=16)
    assert p.throughput == pytest.approx(16 / p.runtime)
    assert ps.model(path).macs == ps.model("resnet50").macs  # of one image
    again = single(ps.model(path).bind({"image.0": 4}), batch=4)
    assert again.flops == p.flops / 4
    text = text_of(lambda: single(path, batch=16, image_size=160))
    assert text == "image_size=160: fixed works on 224 × 224 pixels only"


def test_quantized_with_qdq_runs_as_int8(tmp_path):
    g = Graph()
    for name, value, elem in (("s", 0.1, FLOAT), ("z", 0, 3)):
        g.stored.append(scalar(name, value, elem))

    def stored(name, *shape, elem=3):
        return g.node("DequantizeLinear", g.weight(name, *shape, elem=elem), "s", *(["z"] if elem == 3 else []))

    def quantized(x):
        return g.node("DequantizeLinear", g.node("QuantizeLinear", x, "s", "z"), "s", "z")

    x = quantized(g.input("x", ["N", 32, 16, 16]))
    y = g.node("Conv", x, stored("w1", 64, 32, 3, 3), stored("b1", 64, elem=6), pads=[1] * 4, name="conv")
    y = quantized(g.node("Relu", y))
    y = quantized(g.node("Conv", y, stored("w2", 64, 64, 1, 1), name="last"))
    y = g.node("Softmax", y, name="softmax")
    p = single(g.save(tmp_path, y))
    graph = p.costs[0].graph
    kinds = [op.fusion_kind for op in graph.operators]
    assert kinds == ["quantize", "conv", "relu", "conv", "dequantize", "softmax"]
    conv = graph.operator("conv")
    assert conv.work(graph.tensors).dtype.name == "int8"
    assert {graph.tensors[name].dtype.name for name in conv.inputs} == {"int8", "int32"}
    assert p.memory.weights == 64 * 32 * 9 + 64 * 64 + 4 * 64  # bytes: int8 weights, an int32 bias
    assert graph.tensors["softmax"].dtype.name == "fp16"


def test_quantized_operators(tmp_path):
    g = Graph()
    for name, value, elem in (("s", 0.1, FLOAT), ("z", 0, 2)):
        g.stored.append(scalar(name, value, elem))
    q = g.node("QuantizeLinear", g.input("x", ["N", 8, 8, 8]), "s", "z")
    y = g.node(
        "QLinearConv", q, "s", "z", g.weight("w", 16, 8, 3, 3, elem=2), "s", "z", "s", "z", g.weight("b", 16, elem=6)
    )
    y = g.node("Reshape", y, g.ints("flat", 0, -1))
    y = g.node("QLinearMatMul", y, "s", "z", g.weight("v", 16 * 36, 10, elem=2), "s", "z", "s", "z")
    y = g.node("DequantizeLinear", y, "s", "z")
    model = ps.model(g.save(tmp_path, y))
    assert model.counts().products == 36 * 16 * 8 * 9 + 16 * 36 * 10
    assert model.parameters == 16 * 8 * 9 + 16 + 16 * 36 * 10
    p = single(model)
    assert {row.kind for row in p.operators} == {"quantize", "conv", "linear"}
    matrix = [cost.dtype.name for cost, _ in p.costs[0].kernels if cost.matrix]
    assert matrix == ["int8", "int8"]


def test_few_bit_weights_are_stored_so_and_unpacked(tmp_path):
    g = Graph()
    g.stored.append(scalar("s", 0.1, FLOAT))
    w = g.node("DequantizeLinear", g.weight("w", 256, 512, elem=onnx.TensorProto.INT4), "s")
    p = single(g.save(tmp_path, g.node("MatMul", g.input("x", ["N", 256]), w), opset=21))
    assert p.memory.weights == 256 * 512 // 2
    assert [op.kind for op in p.costs[0].graph.operators] == ["dequantize", "linear"]


def branches(g, condition):
    def body(name):
        node = helper.make_node("MatMul", ["x", f"w_{name}"], [f"y_{name}"])
        return helper.make_graph([node], name, [], [info(f"y_{name}", FLOAT, None)])

    g.input("x", [1, 8]), g.weight("w_small", 8, 8), g.weight("w_large", 8, 800)
    g.nodes.append(
        helper.make_node("If", [condition], ["y"], name="choice", then_branch=body("large"), else_branch=body("small"))
    )
    return "y"


def test_branches(tmp_path):
    g = Graph()
    y = branches(g, g.scalar("yes", True, 9))
    assert ps.model(g.save(tmp_path, y)).counts().products == 8 * 800
    g = Graph()
    y = branches(g, g.input("open", [], 9))
    path = g.save(tmp_path, y, name="open.onnx")
    assert text_of(lambda: single(path)) == (
        f"{path}: node choice (If) depends on data; say which branch is taken with --set model.axis.choice=1 "
        f"(then_branch) or 0 (else_branch)"
    )
    assert [single(ps.model(path).bind(choice=c)).flops for c in (1, 0)] == [2 * 8 * 800, 2 * 8 * 8]


def growing_loop(trips):
    """Each pass appends a row."""
    nodes = [
        helper.make_node("Concat", ["h", "row"], ["h_next"], axis=0),
        helper.make_node("Identity", ["go"], ["goes_on"]),
    ]
    body = helper.make_graph(
        nodes, "body", [info("i", INT64, []), info("go", 9, []), info("h", FLOAT, None)],
        [info("goes_on", 9, []), info("h_next", FLOAT, None)],
    )  # fmt: skip
    g = Graph()
    g.input("h0", [1, 4]), g.input("row", [1, 4]), g.scalar("yes", True, 9)
    if trips is None:
        g.input("trips", [], INT64)
    else:
        g.scalar("trips", trips, INT64)
    g.nodes.append(helper.make_node("Loop", ["trips", "yes", "h0"], ["rows"], name="loop", body=body))
    return g


def test_loops_that_grow_are_unrolled_and_open_ones_bound(tmp_path):
    graph = single(growing_loop(5).save(tmp_path, "rows")).costs[0].graph
    assert [graph.tensors[op.outputs[0]].shape for op in graph.operators] == [(n, 4) for n in range(2, 7)]
    path = growing_loop(None).save(tmp_path, "rows", name="open.onnx")
    assert text_of(lambda: single(path)) == (
        f"{path}: node loop (Loop) has a trip count that depends on data; bind it with --set model.axis.loop=PASSES"
    )
    assert len(single(ps.model(path).bind(loop=3)).costs[0].graph.operators) == 3
    assert "changes the shape of h0 from pass to pass" in text_of(lambda: single(ps.model(path).bind(loop=1000)))


def unknown_operator(folder):
    g = Graph()
    y = g.node("Fancy", g.node("Relu", g.input("x", [1, 1000])), domain="acme", name="fancy")
    model = g.model(g.node("Relu", y), domains=("acme",))
    model.graph.value_info.append(info("fancy", FLOAT, [1, 3000]))
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return str(path)


def test_operators_without_a_rule_are_listed_and_costed_by_traffic(tmp_path):
    path = unknown_operator(tmp_path)
    p = ps.predict(path, ps.SinglePass(dtype="fp16"), on=ON, stack="pytorch-eager")
    assert p.coverage.without_rule == ("acme.Fancy × 1",)
    assert p.coverage.missing[0] == "no cost rule for acme.Fancy × 1: costed by traffic"
    assert p.coverage.operators == pytest.approx(2 / 3)
    fancy = next(cost for cost, _ in p.costs[0].kernels if cost.kind == "acme.Fancy")
    assert (fancy.flops, fancy.moved) == (0, 2 * (1000 + 3000))
    assert p.coverage.traffic == pytest.approx(1 - 4000 / (2000 + 4000 + 6000))
    text = "net: no cost rule for acme.Fancy × 1; leave out strict to cost them by traffic"
    assert text_of(lambda: ps.predict(path, ps.SinglePass(dtype="fp16"), on=ON, strict=True)) == text
    net, out = resnet50()
    assert (
        ps.predict(net.save(tmp_path, out, name="r.onnx"), ps.SinglePass(), on=ON, strict=True).coverage.operators == 1
    )


def test_sizes_that_depend_on_data_are_the_largest_and_said_so(tmp_path):
    g = Graph()
    y = g.node("NonZero", g.input("x", [1, 50]))
    p = single(g.save(tmp_path, y))
    assert "NonZero: the size of its output depends on data; costed at the largest" in p.coverage.missing
    assert p.costs[0].graph.tensors[y].shape == (2, 50)


def test_views_cost_nothing_and_copies_their_bytes(tmp_path):
    g = Graph()
    x = g.input("x", [1, 8, 128])
    y = g.node("Transpose", g.node("Reshape", x, g.ints("s", 1, 8, 4, 32)), perm=[0, 2, 1, 3], name="turn")
    y = g.node("Relu", g.node("Flatten", y), name="relu")
    p = ps.predict(g.save(tmp_path, y), ps.SinglePass(dtype="fp16"), on="rtx-3090", stack="pytorch-eager")
    rows = {row.name: row for row in p.operators if row.name != "host"}
    assert set(rows) == {"turn", "relu"}
    assert p.costs[0].graph.tensors["turn"].nbytes == 2 * 8 * 128


def test_stored_weights_that_are_only_turned_are_one_weight(tmp_path):
    g = Graph()
    w = g.weight("w", 1000, 64)
    x = g.node("Gather", w, g.input("ids", [1, 8], INT64))
    y = g.node("MatMul", x, g.node("Transpose", w, perm=[1, 0]))
    model = ps.model(g.save(tmp_path, y))
    assert model.parameters == 1000 * 64
    graph = single(model).costs[0].graph
    assert sum(t.nbytes for t in graph.of_role(Role.WEIGHT)) == 2 * 1000 * 64


RUNTIME = {  # com.microsoft operators: inputs, attributes, products by hand
    "FusedMatMul": ([("x", 4, 8, 16), ("y", 4, 32, 16)], {"transB": 1}, 4 * 8 * 16 * 32),
    "SkipLayerNormalization": ([("x", 1, 8, 64), ("y", 1, 8, 64), ("g", 64), ("b", 64)], {}, 0),
    "BiasGelu": ([("x", 1, 8, 64), ("b", 64)], {}, 0),
    "MultiHeadAttention": ([("q", 1, 8, 64), ("k", 1, 16, 64), ("v", 1, 16, 64)], {"num_heads": 4}, 2 * 8 * 16 * 64),
    "Attention": ([("x", 1, 8, 64), ("w", 64, 192), ("b", 192)], {"num_heads": 4}, 8 * 64 * 192 + 2 * 8 * 8 * 64),
    "GroupQueryAttention": (
        [("q", 1, 8, 64), ("k", 1, 8, 32), ("v", 1, 8, 32)], {"num_heads": 4, "kv_num_heads": 2}, 2 * (8 * 9 // 2) * 64,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", RUNTIME)
def test_operators_of_onnx_runtime(tmp_path, kind):
    inputs, attributes, products = RUNTIME[kind]
    g = Graph()
    y = g.node(kind, *(g.input(name, list(shape)) for name, *shape in inputs), domain="com.microsoft", **attributes)
    model = ps.model(g.save(tmp_path, y, domains=("com.microsoft",)))
    assert model.counts().products == products
    assert single(model).coverage.without_rule == ()


def test_packed_four_bit_matmul_of_onnx_runtime(tmp_path):
    g = Graph()
    w, s = g.weight("w", 512, 8, 16, elem=2), g.weight("s", 512 * 8)
    y = g.node(
        "MatMulNBits", g.input("x", ["N", 256]), w, s, domain="com.microsoft", N=512, K=256, bits=4, block_size=32
    )
    model = ps.model(g.save(tmp_path, y, domains=("com.microsoft",)))
    assert model.counts().products == 256 * 512
    assert single(model).memory.weights == 256 * 512 // 2 + 2 * 512 * 8


def test_shapes_agree_with_onnx_runtime(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    g, _ = encoder(layers=1, width=64, heads=2, tokens=8, batch=2)
    for tensor in g.stored:
        if tensor.data_location:
            numbers = [0.01] * math.prod(tensor.dims)
            tensor.CopyFrom(helper.make_tensor(tensor.name, FLOAT, tensor.dims, numbers))
    floats = [
        n.output[0] for n in g.nodes if n.op_type in ("MatMul", "Transpose", "Softmax", "LayerNormalization", "Erf")
    ]
    path = g.save(tmp_path, *floats)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    ids = onnx.numpy_helper.np.zeros((2, 8), "i8")
    graph = single(path, batch=1).costs[0].graph
    for name, array in zip(floats, session.run(None, {"input_ids": ids}), strict=True):
        assert graph.tensors[name].elements == array.size, name


def run(*arguments):
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def test_the_command_line(tmp_path):
    g, out = encoder(layers=1)
    path = g.save(tmp_path, out)
    done = run("predict", path, "--on", ON, "--set", "model.axis.sequence=32", "--batch", 2, "--json")
    data = json.loads(done.stdout)
    assert (data["task"], data["parameters"]) == ("single-pass", ps.model(path).parameters)
    assert data["coverage"]["operators"] == 1
    assert run("show", "model", path).exit_code == 0
    assert "batch × sequence" in run("show", "model", path).stdout
    done = run("predict", unknown_operator(tmp_path), "--on", ON, "--strict")
    assert (done.exit_code, "no cost rule for acme.Fancy" in done.output) == (2, True)
    done = run("predict", path, "--on", ON, "--set", "model.axis.sequence=many")
    assert "model.axis.sequence=many: expected a whole number of at least 0" in done.output
    assert "conv0 × 1" in run("predict", resnet(tmp_path), "--on", ON, "--explain").stdout


def resnet(folder):
    net, out = resnet50()
    return net.save(folder, out, name="resnet50.onnx")


@pytest.mark.parametrize("stack", ["pytorch-eager", "pytorch-channels-last", "onnxruntime-cpu"])
def test_rewrites_of_a_framework_keep_views(tmp_path, stack):
    net, out = resnet50()
    g, y = encoder(layers=1, tokens=16)
    on, dtype = ("raspberry-pi-5", "fp32") if stack == "onnxruntime-cpu" else (ON, "fp16")
    for path in (net.save(tmp_path, out, name="resnet.onnx"), g.save(tmp_path, y, name="encoder.onnx")):
        p = ps.predict(path, ps.SinglePass(dtype=dtype), on=on, stack=stack)
        graph = check(p.costs[0].graph)
        assert p.runtime > p.ideal.runtime
        assert (
            sum(op.work(graph.tensors).flops for op in graph.operators if op.unit.name == "TENSOR")
            == 2 * ps.model(path).counts().products
        )
