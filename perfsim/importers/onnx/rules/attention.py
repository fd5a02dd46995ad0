"""Attention as one operator, in the forms of ONNX and of ONNX Runtime."""

from __future__ import annotations

from typing import Any

from perfsim.importers.onnx.node import Node, Shape
from perfsim.importers.onnx.rules import MICROSOFT, rule
from perfsim.importers.onnx.rules.product import product
from perfsim.importers.onnx.values import Value
from perfsim.ops import Elementwise
from perfsim.ops.general import Move
from perfsim.ops.product import PackedAttention

__all__ = ["attention", "multi_head_attention", "packed_attention"]


def _heads(node: Node, value: Value, heads: int) -> Shape:
    """(batch, tokens, heads, dim) of (batch, heads, tokens, dim) or (batch, tokens, heads · dim)."""
    if len(value.shape) == 4:
        batch, heads, tokens, dim = value.shape
        return batch, tokens, heads, dim
    if len(value.shape) != 3 or heads < 1 or value.shape[2] % heads:
        raise node.fail(f"has an operand of shape {list(value.shape)} for {heads} heads")
    return value.shape[0], value.shape[1], heads, value.shape[2] // heads


def _attend(
    node: Node, operands: list[Value], queries: Shape, values: Shape, *, causal: bool, window: int | None = None
) -> Value:  # fmt: skip
    made: Value = node.emit(
        PackedAttention, operands, context=values[1], causal=causal, window=window, queries=queries, values=values,
        shapes=(node.shape(),),
    )  # fmt: skip
    return made


def _stored(node: Node, outputs: list[Any], index: int, past: Value | None, new: Value) -> Value:
    """The cache with the new positions behind the old ones, if the node gives it; else the new ones."""
    if index >= len(node.proto.output) or not node.proto.output[index]:
        return new
    operands = [v for v in (past, new) if v is not None]
    made: Value = node.emit(
        Move, operands, outputs=(index,), shapes=(node.shape(index),), suffix=f".{index}", label="cache-write"
    )
    outputs[index] = made
    return made


@rule("Attention", low="")
def attention(node: Node) -> Any:
    """Queries, keys, values, then mask and past keys and values (operator set 23)."""
    query, key, value = node.input(0), node.input(1), node.input(2)
    past_key, past_value = node.optional(4), node.optional(5)
    heads, stored = int(node.attribute("q_num_heads", 0)), int(node.attribute("kv_num_heads", 0))
    queries, values = _heads(node, query, heads), _heads(node, value, stored)
    past = past_key.shape[2] if past_key is not None else 0
    values = (values[0], values[1] + past, *values[2:])
    outputs: list[Any] = [None] * len(node.proto.output)
    keys_there = _stored(node, outputs, 1, past_key, key)
    values_there = _stored(node, outputs, 2, past_value, value)
    operands = [query, keys_there, values_there, *node.operands([node.optional(3)])]
    outputs[0] = _attend(node, operands, queries, values, causal=bool(node.attribute("is_causal", 0)))
    return outputs


@rule("Attention", "QAttention", domain=MICROSOFT)
def packed_attention(node: Node) -> Any:
    """Projection to queries, keys and values, and attention, in one node."""
    x, weight = node.input(0), node.input(1)
    heads = int(node.attribute("num_heads", 1))
    batch, tokens, _ = node.rank(0, 3)
    sizes = node.attribute("qkv_hidden_sizes") or [weight.shape[-1] // 3] * 3
    past = node.optional(4) if node.op_type == "Attention" else node.optional(8)
    context = tokens + (past.shape[3] if past is not None and len(past.shape) == 5 else 0)
    packed = product(node, x, weight, more=True, suffix=".qkv")
    bias = node.optional(2)
    if bias is not None:
        packed = node.emit(
            Elementwise, [packed, bias], types=[(packed.elem, packed.shape)], suffix=".bias", function="bias"
        )
    elem = x.elem if node.op_type == "Attention" else 1
    dim = sizes[0] // heads
    node.types = [(elem, (batch, tokens, sizes[2])), (elem, (2, batch, heads, context, dim))][: len(node.proto.output)]
    causal = bool(node.attribute("unidirectional", 0))
    queries, values = (batch, tokens, heads, dim), (batch, context, heads, sizes[2] // heads)
    outputs: list[Any] = [None] * len(node.types)
    if past is not None:
        _stored(node, outputs, 1, past, packed)
    outputs[0] = _attend(node, node.operands([packed, past]), queries, values, causal=causal)
    return outputs


@rule("MultiHeadAttention", "GroupQueryAttention", domain=MICROSOFT)
def multi_head_attention(node: Node) -> Any:
    """Attention of projected queries, keys and values; packed ones lie side by side in the first input."""
    grouped = node.op_type == "GroupQueryAttention"
    heads = int(node.attribute("num_heads", 1))
    kv_heads = int(node.attribute("kv_num_heads", heads))
    query, key, value = node.input(0), node.optional(1), node.optional(2)
    batch, tokens = query.shape[0], query.shape[1]
    past = node.optional(3 if grouped else 6)
    queries: Shape
    if key is None:
        dim = query.shape[-1] // (heads + 2 * kv_heads) if grouped else query.shape[-1]
        queries, new, value_dim = (batch, tokens, heads, dim), tokens, dim
    else:
        queries = _heads(node, query, heads)
        new = key.shape[1] if len(key.shape) in (3, 5) else key.shape[2]
        value_dim = queries[3] if value is None or len(value.shape) != 3 else value.shape[2] // kv_heads
        value_dim = value.shape[3] if value is not None and len(value.shape) == 4 else value_dim
    context = new + (past.shape[2] if past is not None else 0)
    values = (batch, context, kv_heads, value_dim)
    cache = [(query.elem, (batch, kv_heads, context, dim)) for dim in (queries[3], value_dim)]
    node.types = [(query.elem, (batch, tokens, heads * value_dim)), *cache][: len(node.proto.output)]
    outputs: list[Any] = [None] * len(node.types)
    first = 3 if grouped else 6
    there = [
        _stored(node, outputs, index + 1, node.optional(first + index), v if v is not None else query)
        for index, v in enumerate((key, value))
    ]
    operands = node.operands([query, *(v for v in there if v is not query)])
    if not grouped:
        operands += node.operands([node.optional(3), node.optional(4), node.optional(5)])
    window = int(node.attribute("local_window_size", -1))
    causal = grouped or bool(node.attribute("unidirectional", 0))
    outputs[0] = _attend(node, operands, queries, values, causal=causal, window=window if window > 0 else None)
    return outputs
