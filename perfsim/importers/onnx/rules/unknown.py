"""Operators without a cost rule: their bytes count, and the result names them."""

from __future__ import annotations

from typing import Any

from perfsim.importers.onnx.node import Node
from perfsim.ops.general import Unmodelled

__all__ = ["by_traffic"]


def by_traffic(node: Node) -> Any:
    """All operands are read and all outputs written."""
    label = node.op_type if node.proto.domain in ("", "ai.onnx") else f"{node.proto.domain}.{node.op_type}"
    return node.emit_all(Unmodelled, node.operands(), label=label)
