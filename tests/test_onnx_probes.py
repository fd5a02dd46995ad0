"""Operators on which counters of floating-point operations fail: the work of each is compared with arithmetic by hand.

Each probe is written as an exporter writes it. The names say what the probe is in PyTorch.
"""

import math

import pytest

from tests.onnx_graphs import FLOAT, Graph, helper  # skips without onnx

import perfsim as ps  # isort: skip

ON = "a100-sxm4-80gb"


def predicted(graph, folder, *outputs, **fields):
    return ps.predict(graph.save(folder, *outputs, **fields), ps.SinglePass(dtype="fp16"), on=ON)


def macs(graph, folder, *outputs, **fields):
    return ps.model(graph.save(folder, *outputs, **fields)).counts().products


def test_conv_3x3(tmp_path):
    g = Graph()
    y = g.node("Conv", g.input("x", [1, 64, 56, 56]), g.weight("w", 128, 64, 3, 3), pads=[1, 1, 1, 1])
    assert macs(g, tmp_path, y) == 56 * 56 * 128 * 64 * 9


def test_depthwise_3x3(tmp_path):
    g = Graph()
    y = g.node("Conv", g.input("x", [1, 64, 56, 56]), g.weight("w", 64, 1, 3, 3), pads=[1, 1, 1, 1], group=64)
    assert macs(g, tmp_path, y) == 56 * 56 * 64 * 9


def test_transposed_conv_of_stride_2(tmp_path):
    g = Graph()
    x = g.input("x", [1, 64, 28, 28])
    y = g.node("ConvTranspose", x, g.weight("w", 64, 32, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1])
    assert macs(g, tmp_path, y) == 28 * 28 * 64 * 32 * 16  # every input position meets every tap once


def test_functional_conv_with_its_own_weight(tmp_path):
    g = Graph()
    y = g.node("Conv", g.input("x", [1, 16, 32, 32]), g.input("w", [24, 16, 3, 3]), pads=[1, 1, 1, 1])
    assert macs(g, tmp_path, y) == 32 * 32 * 24 * 16 * 9


def test_linear_on_three_axes(tmp_path):
    g = Graph()
    y = g.node("MatMul", g.input("x", [1, 256, 512]), g.weight("w", 512, 1024))
    y = g.node("Add", y, g.weight("b", 1024))
    assert macs(g, tmp_path, y) == 256 * 512 * 1024


def test_x_at_w(tmp_path):
    g = Graph()
    y = g.node("MatMul", g.input("x", [8, 128, 256]), g.input("w", [256, 64]))
    assert macs(g, tmp_path, y) == 8 * 128 * 256 * 64


def test_einsum(tmp_path):
    g = Graph()
    y = g.node("Einsum", g.input("q", [1, 8, 64, 32]), g.input("k", [1, 8, 96, 32]), equation="bhqd,bhkd->bhqk")
    assert macs(g, tmp_path, y) == 8 * 64 * 96 * 32


def test_einsum_of_three_takes_the_cheap_order(tmp_path):
    g = Graph()
    operands = g.input("a", [100, 10]), g.input("b", [10, 50]), g.input("c", [50, 2])
    y = g.node("Einsum", *operands, equation="ij,jk,kl->il")
    assert macs(g, tmp_path, y) == 10 * 50 * 2 + 100 * 10 * 2  # b·c first; a·b first would be 60,000


def decomposed_attention(g, batch, heads, tokens, dim):
    """F.scaled_dot_product_attention up to operator set 22: scores, scale, softmax, values."""
    q, k, v = (g.input(n, [batch, heads, tokens, dim]) for n in "qkv")
    root = g.scalar("root", math.sqrt(1 / math.sqrt(dim)))
    scores = g.node("MatMul", g.node("Mul", q, root), g.node("Mul", g.node("Transpose", k, perm=[0, 1, 3, 2]), root))
    return g.node("MatMul", g.node("Softmax", scores, axis=-1), v)


def test_scaled_dot_product_attention(tmp_path):
    g = Graph()
    y = decomposed_attention(g, 1, 8, 128, 64)
    assert macs(g, tmp_path, y) == 2 * 8 * 128 * 128 * 64  # scores and values


@pytest.mark.parametrize("causal", [0, 1])
def test_attention_as_one_operator(tmp_path, causal):
    g = Graph()
    y = g.node("Attention", *(g.input(n, [1, 8, 128, 64]) for n in "qkv"), is_causal=causal)
    pairs = 128 * 129 // 2 if causal else 128 * 128
    assert macs(g, tmp_path, y, opset=23) == 2 * 8 * pairs * 64


def test_multi_head_attention(tmp_path):
    """nn.MultiheadAttention: one projection to q, k and v, heads split, one projection back."""
    tokens, width, heads = 64, 256, 8
    g = Graph()
    x = g.input("x", [tokens, 1, width])
    packed = g.node("Add", g.node("MatMul", x, g.weight("in_proj", width, 3 * width)), g.weight("in_bias", 3 * width))
    split = [g.node("Gather", g.node("Squeeze", g.node("Transpose", g.node(
        "Unsqueeze", g.node("Reshape", packed, g.ints(f"s{i}", tokens, 1, 3, width)), g.ints(f"u{i}", 0)),
        perm=[3, 1, 2, 0, 4]), g.ints(f"z{i}", 3)), g.scalar(f"i{i}", i, 7), axis=0) for i in range(3)]  # fmt: skip
    q, k, v = (g.node("Transpose", g.node("Reshape", s, g.ints(f"h{i}", tokens, heads, width // heads)), perm=[1, 0, 2])
               for i, s in enumerate(split))  # fmt: skip
    scores = g.node("Softmax", g.node("MatMul", q, g.node("Transpose", k, perm=[0, 2, 1])), axis=-1)
    y = g.node("Transpose", g.node("MatMul", scores, v), perm=[1, 0, 2])
    y = g.node("Gemm", g.node("Reshape", y, g.ints("flat", tokens, width)), g.weight("out", width, width), transB=1)
    assert macs(g, tmp_path, y) == tokens * width * 4 * width + 2 * tokens * tokens * width


@pytest.mark.parametrize(
    ("kind", "gates", "directions"), [("LSTM", 4, 1), ("LSTM", 4, 2), ("GRU", 3, 1), ("RNN", 1, 1)]
)
def test_lstm_of_50_steps(tmp_path, kind, gates, directions):
    steps, batch, inputs, hidden = 50, 2, 128, 256
    g = Graph()
    w = g.weight("w", directions, gates * hidden, inputs), g.weight("r", directions, gates * hidden, hidden)
    way = {"direction": "bidirectional"} if directions == 2 else {}
    y = g.node(kind, g.input("x", [steps, batch, inputs]), *w, outputs=2, hidden_size=hidden, **way)
    assert macs(g, tmp_path, *y) == steps * batch * directions * gates * hidden * (inputs + hidden)


def test_rfft2(tmp_path):
    """torch.fft.rfft2: a real transform of the rows, then complex ones of the 33 columns that are left."""
    n = 64
    g = Graph()
    x = g.node("Unsqueeze", g.input("x", [1, n, n]), g.ints("last", -1))
    y = g.node("DFT", x, "", g.scalar("rows", 2, 7), onesided=1)
    y = g.node("DFT", y, "", g.scalar("columns", 1, 7), onesided=0)
    p = predicted(g, tmp_path, y, opset=20)
    rows, columns = n * 2.5 * n * math.log2(n), (n // 2 + 1) * 5 * n * math.log2(n)
    assert p.flops == rows + columns
    assert p.flops == pytest.approx(
        2.5 * n * n * math.log2(n * n), rel=0.02
    )  # half of a complex transform of n² points


def test_complex_fft(tmp_path):
    g = Graph()
    y = g.node("DFT", g.input("x", [4, 1024, 2]), "", g.scalar("axis", 1, 7))
    assert predicted(g, tmp_path, y, opset=20).flops == 4 * 5 * 1024 * 10


def scan_graph(steps, width, state):
    """h = a·h + b·x; y = Σ c·h, as a Scan over the steps."""
    make = helper.make_node
    nodes = [
        make("Mul", ["h", "a"], ["decayed"]), make("Unsqueeze", ["xt", "last"], ["x1"]),
        make("Mul", ["x1", "b"], ["driven"]),
        make("Add", ["decayed", "driven"], ["h_next"]), make("Mul", ["h_next", "c"], ["weighted"]),
        make("ReduceSum", ["weighted", "last"], ["yt"], keepdims=0),
    ]  # fmt: skip
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        nodes, "body", [info("h", FLOAT, [width, state]), info("xt", FLOAT, [width])],
        [info("h_next", FLOAT, [width, state]), info("yt", FLOAT, [width])],
    )  # fmt: skip
    g = Graph()
    for name in "abc":
        g.weight(name, width, state)
    g.ints("last", -1)
    g.input("h0", [width, state]), g.input("x", [steps, width])
    g.nodes.append(helper.make_node("Scan", ["h0", "x"], ["h_end", "y"], name="scan", body=body, num_scan_inputs=1))
    return g


def test_state_space_scan_of_64_steps(tmp_path):
    steps, width, state = 64, 32, 16
    p = predicted(scan_graph(steps, width, state), tmp_path, "h_end", "y")
    per_step = width * state * 5  # two products and a sum for the state, a product and a sum for the output
    assert p.flops == steps * per_step
    assert {row.count for row in p.operators} == {steps}
    assert ps.model(str(tmp_path / "net.onnx")).parameters == 3 * width * state  # weights of a body exist once


def test_a_loop_is_its_body_times_its_trip_count(tmp_path):
    info = helper.make_tensor_value_info
    nodes = [helper.make_node("MatMul", ["h", "w"], ["h_next"]), helper.make_node("Identity", ["going"], ["goes_on"])]
    body = helper.make_graph(
        nodes, "body", [info("i", 7, []), info("going", 9, []), info("h", FLOAT, [8, 32])],
        [info("goes_on", 9, []), info("h_next", FLOAT, [8, 32])],
    )  # fmt: skip
    g = Graph()
    g.weight("w", 32, 32), g.input("h0", [8, 32]), g.scalar("trips", 10, 7), g.scalar("yes", True, 9)
    g.nodes.append(helper.make_node("Loop", ["trips", "yes", "h0"], ["h_end"], name="loop", body=body))
    assert macs(g, tmp_path, "h_end") == 10 * 8 * 32 * 32
