"""Operators without a cost rule: their bytes count, and the result names them."""

from __future__ import annotations

from typing import Any

from perfsim.importers.onnx.node import Node
from perfsim.ops.general import Unmodelled

__all__ = ["by_traffic"]


def by_traffic(node: Node) -> Any:
    """All operands are read and all outputs written."""
    named = [index for index, name in enumerate(node.proto.output) if name]
    shapes = tuple(node.types[index][1] for index in named)
    label = node.op_type if node.proto.domain in ("", "ai.onnx") else f"{node.proto.domain}.{node.op_type}"
    made = node.emit(Unmodelled, node.operands(), outputs=named, shapes=shapes, label=label)
    values: list[Any] = [None] * len(node.proto.output)
    for index, value in zip(named, made if isinstance(made, list) else [made], strict=True):
        values[index] = value
    return values
