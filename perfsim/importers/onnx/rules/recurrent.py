"""Recurrent layers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from perfsim.importers.onnx.node import Node
from perfsim.importers.onnx.rules import rule
from perfsim.ops.product import Recurrence

__all__ = ["recurrent"]

_GATES: Mapping[str, int] = MappingProxyType({"LSTM": 4, "GRU": 3, "RNN": 1})


@rule("LSTM", "GRU", "RNN", low="")
def recurrent(node: Node) -> Any:
    """Weights (directions, gates · hidden, inputs) and (directions, gates · hidden, hidden)."""
    x, weight, again = node.input(0), node.input(1), node.input(2)
    tokens, batch, inputs = node.rank(0, 3)[:3]
    if node.attribute("layout", 0):
        tokens, batch = batch, tokens
    directions, rows, hidden = node.rank(2, 3)
    if rows != _GATES[node.op_type] * hidden or weight.shape[-1] != inputs:
        raise node.fail(f"has weights of shape {list(weight.shape)} and {list(again.shape)} for {inputs} inputs")
    operands = [v for v in (x, weight, again, *node.inputs[3:4], *node.inputs[5:]) if v is not None]
    return node.emit_all(Recurrence, operands, batch=tokens * directions, m=batch, n=rows, k=inputs + hidden)
