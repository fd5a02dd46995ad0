"""Normalisations and softmax."""

from __future__ import annotations

import math
from typing import Any

from perfsim.importers.onnx.node import Node
from perfsim.importers.onnx.rules import MICROSOFT, rule
from perfsim.importers.onnx.values import Value
from perfsim.ops import Elementwise, Norm, Softmax
from perfsim.ops.general import Pointwise
from perfsim.ops.group_norm import GroupNorm
from perfsim.ops.norm import NORMS

__all__ = [
    "embed_norm", "group_norm", "layer_norm", "local_response", "plain_norm", "rms_norm", "runtime_group_norm",
    "runtime_norm", "skip_norm", "softmax",
]  # fmt: skip


def _norm(node: Node, x: Value, function: str, parameters: list[Value]) -> Any:
    """The result, then mean and inverse deviation if the node gives them; both are by-products."""
    return node.emit(Norm, [x, *parameters], function=function)


@rule("LayerNormalization", low="")
def layer_norm(node: Node) -> Any:
    """Over the axes from ``axis`` on."""
    return _norm(node, node.input(0), "layernorm", node.operands(node.inputs[1:]))


@rule("RMSNormalization", low="")
def rms_norm(node: Node) -> Any:
    """Without a mean."""
    return _norm(node, node.input(0), "rmsnorm", node.operands(node.inputs[1:]))


@rule("SimplifiedLayerNormalization", own_shapes=True, low="")
@rule("LayerNormalization", "SimplifiedLayerNormalization", domain=MICROSOFT)
def runtime_norm(node: Node) -> Any:
    """The names that ONNX Runtime gives them."""
    node.types = [(node.input(0).elem, node.input(0).shape)]
    function = "rmsnorm" if "Simplified" in node.op_type else "layernorm"
    return _norm(node, node.input(0), function, node.operands(node.inputs[1:]))


@rule("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain=MICROSOFT)
def skip_norm(node: Node) -> Any:
    """Residual addition, maybe a bias, and the norm of the sum; the sum is the last output."""
    x, skip = node.input(0), node.input(1)
    simplified = "Simplified" in node.op_type
    node.types = [(x.elem, x.shape)] * 4
    bias = node.operands([node.optional(3 if simplified else 4)])
    gives = len(node.proto.output) > 3 and node.proto.output[3]
    kind = {"outputs": (3,)} if gives else {"types": [(x.elem, x.shape)]}
    total = node.emit(Elementwise, [x, skip, *bias], suffix=".add", function="add", **kind)
    parameters = node.operands(node.inputs[2:3] if simplified else node.inputs[2:4])
    result = _norm(node, total, "rmsnorm" if simplified else "layernorm", parameters)
    return [result, None, None, total if gives else None]


@rule("InstanceNormalization", "GroupNormalization", low="")
def group_norm(node: Node) -> Any:
    """Mean and variance over channels of a group and all positions."""
    x = node.input(0)
    groups = int(node.attribute("num_groups", x.shape[1] if len(x.shape) > 1 else 1))
    return node.emit(GroupNorm, [x, *node.operands(node.inputs[1:])], groups=groups)


@rule("GroupNorm", "SkipGroupNorm", domain=MICROSOFT)
def runtime_group_norm(node: Node) -> Any:
    """The form of ONNX Runtime."""
    x = node.input(0)
    node.types = [(x.elem, x.shape)] * len(node.proto.output)
    return node.emit(GroupNorm, node.operands(), groups=int(node.attribute("groups", 32)))


@rule("LRN")
def local_response(node: Node) -> Any:
    """Square, window of ``size`` additions, power and division per element."""
    x = node.input(0)
    flops = (int(node.attribute("size", 5)) + 5) * x.elements
    return node.emit(Pointwise, [x], shapes=(x.shape,), flops=flops, label="local-response-norm")


@rule("LpNormalization", "MeanVarianceNormalization", "Normalizer", low="")
@rule("Normalizer", domain="ai.onnx.ml")
def plain_norm(node: Node) -> Any:
    """Statistics along some axes, and a scale (and a shift) of every element."""
    x = node.input(0)
    each = NORMS["layernorm"] - 2 if node.op_type == "MeanVarianceNormalization" else 3
    return node.emit(Pointwise, [x], shapes=(x.shape,), flops=each * x.elements, label="norm")


@rule("Softmax", "LogSoftmax", "Hardmax", low="")
def softmax(node: Node) -> Any:
    """Along one axis."""
    return node.emit(Softmax, [node.input(0)])


@rule("EmbedLayerNormalization", domain=MICROSOFT)
def embed_norm(node: Node) -> Any:
    """Word, position and segment embeddings, their sum and its norm; only the rows looked up are read."""
    ids, width = node.input(0), node.input(2).shape[-1]
    shape = (*ids.shape, width)
    batch = ids.shape[0] if ids.shape else 1
    node.types = [(1, shape), (6, (batch,)), (1, shape)][: len(node.proto.output)]
    tables = [v for v in node.inputs[2:5] if v is not None]
    operands = [ids, *tables, *node.operands(node.inputs[5:7])]
    rows = tuple(min(math.prod(shape), table.elements) for table in tables)
    made = node.emit(
        Pointwise, operands, shapes=(shape,), flops=(len(tables) - 1 + NORMS["layernorm"]) * math.prod(shape),
        touched=(None, *rows), label="embedding",
    )  # fmt: skip
    return [made]
