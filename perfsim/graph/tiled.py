"""Kernels that are given by the graph: several operators that run as one, tile by tile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from perfsim.quantities.numbers import Number

__all__ = ["TiledKernel"]


@dataclass(frozen=True, eq=False)
class TiledKernel:
    """Operators that run as one kernel whatever the stack fuses, and what its tiles cost beyond their own work.

    name: of the kernel; operators: their names, in order; redo: by operator the time of its arithmetic over that of its
    useful operations on all compute units [1], where tiles overlap or units have none; reread: by tensor the bytes
    that one execution touches again [byte]; distance: other bytes that pass between two touches [byte], by which a
    cache may serve them; need: bytes on chip per compute unit [byte]; plan: the tiles as plain data; text: the same as
    lines for people.
    """

    name: str
    operators: tuple[str, ...]
    redo: Mapping[str, Number] = field(default_factory=dict)
    reread: Mapping[str, Number] = field(default_factory=dict)
    distance: Number = 0
    need: Number = 0
    plan: Mapping[str, Any] = field(default_factory=dict)
    text: tuple[str, ...] = ()

    kind = "fused-block"
