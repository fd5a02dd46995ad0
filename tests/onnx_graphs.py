"""ONNX graphs written by hand, as exporters write them; weights are shapes only, their data file does not exist."""

import math
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

FLOAT, INT64, INT8, UINT8, INT32, BOOL = (
    TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32, TensorProto.BOOL,
)  # fmt: skip


def absent(name, shape, elem=FLOAT):
    """A stored tensor whose numbers are in a file that is not there."""
    tensor = TensorProto(name=name, data_type=elem, dims=shape, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="weights.bin")
    return tensor


def ints(name, *values):
    return helper.make_tensor(name, INT64, (len(values),), values)


def scalar(name, value, elem=FLOAT):
    return helper.make_tensor(name, elem, (), [value])


class Graph:
    """Collects nodes; names of results are those of the nodes."""

    def __init__(self):
        self.nodes, self.stored, self.inputs = [], [], []

    def input(self, name, shape, elem=FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, elem, shape))
        return name

    def weight(self, name, *shape, elem=FLOAT):
        self.stored.append(absent(name, shape, elem))
        return name

    def ints(self, name, *values):
        self.stored.append(ints(name, *values))
        return name

    def scalar(self, name, value, elem=FLOAT):
        self.stored.append(scalar(name, value, elem))
        return name

    def node(self, kind, *inputs, name=None, outputs=1, domain="", **attributes):
        name = name or f"{kind.lower()}{len(self.nodes)}"
        names = [name] if outputs == 1 else [f"{name}.{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=name, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def model(self, *outputs, opset=18, functions=(), domains=()):
        infos = [onnx.ValueInfoProto(name=name) for name in outputs]
        graph = helper.make_graph(self.nodes, "graph", self.inputs, infos, self.stored)
        imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
        return helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=10)

    def save(self, folder, *outputs, name="net.onnx", **fields):
        path = Path(folder) / name
        path.write_bytes(self.model(*outputs, **fields).SerializeToString())
        return str(path)


class Net(Graph):
    """Layers of convolutional networks, batch norms not folded."""

    def conv(self, x, inputs, out, kernel, stride=1, groups=1, act="Relu", norm=True):
        name = f"conv{len(self.nodes)}"
        w = self.weight(f"{name}.weight", out, inputs // groups, kernel, kernel)
        pad = (kernel - 1) // 2
        x = self.node(
            "Conv", x, w, name=name, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, group=groups
        )
        if norm:
            parameters = [self.weight(f"{name}.{p}", out) for p in ("gamma", "beta", "mean", "variance")]
            x = self.node("BatchNormalization", x, *parameters)
        if act == "Clip":
            if "zero" not in {t.name for t in self.stored}:
                self.scalar("zero", 0.0)
                self.scalar("six", 6.0)
            return self.node("Clip", x, "zero", "six")
        return self.node(act, x) if act else x

    def head(self, x, width, classes=1000):
        x = self.node("Flatten", self.node("GlobalAveragePool", x))
        return self.node(
            "Gemm", x, self.weight("fc.weight", classes, width), self.weight("fc.bias", classes), name="fc", transB=1
        )


def resnet50(batch="N", size=224):
    net = Net()
    x = net.conv(net.input("image", [batch, 3, size, size]), 3, 64, 7, 2)
    x = net.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    inputs = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 * 2**stage
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = net.conv(x, inputs, width, 1)
            y = net.conv(y, width, width, 3, stride)
            y = net.conv(y, width, 4 * width, 1, act="")
            skip = x if block else net.conv(x, inputs, 4 * width, 1, stride, act="")
            x = net.node("Relu", net.node("Add", y, skip))
            inputs = 4 * width
    return net, net.head(x, inputs)


MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks, stride of the first: table 2 of arXiv 1801.04381."""


def mobilenet_v2(batch="N", size=224):
    net = Net()
    x, inputs = net.conv(net.input("image", [batch, 3, size, size]), 3, 32, 3, 2, act="Clip"), 32
    for expansion, channels, blocks, first in MOBILENET_V2:
        for block in range(blocks):
            stride, width = first if not block else 1, inputs * expansion
            y = x if expansion == 1 else net.conv(x, inputs, width, 1, act="Clip")
            y = net.conv(y, width, width, 3, stride, groups=width, act="Clip")
            y = net.conv(y, width, channels, 1, act="")
            x = net.node("Add", x, y) if stride == 1 and inputs == channels else y
            inputs = channels
    return net, net.head(net.conv(x, inputs, 1280, 1, act="Clip"), 1280)


def encoder(layers=12, width=768, heads=12, classes=1000, tokens="sequence", batch="batch"):
    """A transformer encoder as exporters write it: shapes are computed, heads split by Reshape, GELU by Erf."""
    g = Graph()
    ids = g.input("input_ids", [batch, tokens], INT64)
    x = g.node("Gather", g.weight("embedding", 30522, width), ids)
    shape = g.node("Shape", ids)
    g.ints("zero", 0), g.ints("one", 1), g.ints("minus", -1), g.ints("heads", heads), g.ints("dim", width // heads)
    g.ints("two", 2)
    (
        g.scalar("scale", 1 / math.sqrt(width // heads)),
        g.scalar("root2", math.sqrt(2)),
        g.scalar("half", 0.5),
        g.scalar("unit", 1.0),
    )
    size = g.node("Gather", shape, g.scalar("first", 0, INT64))
    rows = g.node("Unsqueeze", size, "zero")
    into = g.node("Concat", rows, "minus", "heads", "dim", axis=0)
    g.stored.append(ints("width", width))
    back = g.node("Concat", rows, "minus", "width", axis=0)

    def dense(x, name, inputs, out):
        return g.node(
            "Add", g.node("MatMul", x, g.weight(f"{name}.weight", inputs, out)), g.weight(f"{name}.bias", out)
        )

    def norm(x, name):
        return g.node(
            "LayerNormalization", x, g.weight(f"{name}.weight", width), g.weight(f"{name}.bias", width), axis=-1
        )

    def split(x, order):
        return g.node("Transpose", g.node("Reshape", x, into), perm=order)

    for n in range(layers):
        q, k, v = (dense(x, f"l{n}.{p}", width, width) for p in "qkv")
        scores = g.node("MatMul", split(q, [0, 2, 1, 3]), split(k, [0, 2, 3, 1]))
        weights = g.node("Softmax", g.node("Mul", scores, "scale"), axis=-1)
        y = g.node("Transpose", g.node("MatMul", weights, split(v, [0, 2, 1, 3])), perm=[0, 2, 1, 3])
        x = norm(g.node("Add", x, dense(g.node("Reshape", y, back), f"l{n}.o", width, width)), f"l{n}.n1")
        y = dense(x, f"l{n}.up", width, 4 * width)
        erf = g.node("Add", g.node("Erf", g.node("Div", y, "root2")), "unit")
        y = g.node("Mul", g.node("Mul", y, erf), "half")
        x = norm(g.node("Add", x, dense(y, f"l{n}.down", 4 * width, width)), f"l{n}.n2")
    return g, x
