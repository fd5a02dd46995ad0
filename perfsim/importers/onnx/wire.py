"""Reading an ONNX file without its weights: large payloads of tensors are left out while the file is read.

The file is a Protocol Buffers message; only the framing (tag, length, bytes) has to be known to leave a field out.

References
----------
.. [1] Protocol Buffers, "Encoding", protobuf.dev/programming-guides/encoding.
.. [2] onnx/onnx, onnx/onnx.proto: numbers of the fields.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perfsim.errors import ConfigError

__all__ = ["PAYLOAD", "slim", "slim_file"]

PAYLOAD = 1 << 14
"""Largest payload of a tensor that is kept [byte]: what computes shapes is smaller."""

MOST = 1 << 27
"""Largest graph without payloads [byte]."""

DEEPEST = 60
"""Deepest nesting of messages; a sub-graph takes three levels."""

_TENSOR: dict[int, Any] = {}
_NODE: dict[int, Any] = {}
_FUNCTION: dict[int, Any] = {7: _NODE}
_GRAPH: dict[int, Any] = {1: _NODE, 5: _TENSOR, 15: {1: _TENSOR, 2: _TENSOR}}
_ATTRIBUTE: dict[int, Any] = {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: {1: _TENSOR, 2: _TENSOR}}
_NODE[5] = _ATTRIBUTE
_FUNCTION[11] = _ATTRIBUTE
_MODEL: dict[int, Any] = {7: _GRAPH, 25: _FUNCTION}
"""Sub-messages by field number: ModelProto.graph and functions, GraphProto.node, initializer and so on."""

_DATA = frozenset({4, 5, 6, 7, 9, 10, 11})
"""Fields of TensorProto that hold its numbers."""


def slim_file(path: Path) -> bytes:
    """The file's message without large payloads; the file is mapped, not read.

    Raises
    ------
    ConfigError
        if it cannot be read, is empty, or ends in the middle of a field.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise ConfigError(f"{path}: is empty, expected an ONNX model")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return slim(data, str(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def slim(data: Any, where: str) -> bytes:
    """``data`` (bytes or a mapped file) without large payloads; ``where`` names it in messages.

    Raises
    ------
    ConfigError
        if it is not a message, or larger than :data:`MOST` without its payloads.
    """
    return _Slimmer(data, where).message(0, len(data), _MODEL, 0)


class _Slimmer:
    def __init__(self, data: Any, where: str) -> None:
        self.data, self.where, self.kept = data, where, 0

    def fail(self, position: int, what: str) -> ConfigError:
        return ConfigError(
            f"{self.where}: not an ONNX model: {what} at byte {position}; the file is cut off or damaged"
        )

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """Number at ``at`` and the position behind it."""
        value = shift = 0
        while at < end:
            byte = self.data[at]
            value |= (byte & 0x7F) << shift
            at += 1
            if byte < 0x80:
                return value, at
            shift += 7
            if shift > 63:
                raise self.fail(at, "a number that is too long")
        raise self.fail(at, "a number without an end")

    def field(self, at: int, end: int) -> tuple[int, int, int, int]:
        """Field number, wire type, start of the content and the position behind it."""
        tag, start = self.varint(at, end)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            _, after = self.varint(start, end)
        elif wire in (1, 5):
            after = start + (8 if wire == 1 else 4)
        elif wire == 2:
            length, start = self.varint(start, end)
            after = start + length
        else:
            raise self.fail(at, f"a field of wire type {wire}")
        if after > end or number == 0:
            raise self.fail(at, f"field {number} ends behind its message")
        return number, wire, start, after

    def message(self, at: int, end: int, parts: Mapping[int, Any], depth: int) -> bytes:
        """The message between two positions without its large payloads."""
        if depth > DEEPEST:
            raise ConfigError(f"{self.where}: nested more than {DEEPEST} levels deep; no exporter writes such graphs")
        chunks: list[bytes] = []
        since = at
        while at < end:
            number, wire, start, after = self.field(at, end)
            large = wire == 2 and after - start > PAYLOAD
            if large and (number in parts or (parts is _TENSOR and number in _DATA)):
                chunks.append(self.data[since:at])
                if number in parts:
                    inner = self.message(start, after, parts[number], depth + 1)
                    chunks.append(_varint(number << 3 | 2) + _varint(len(inner)) + inner)
                since = after
            at = after
        chunks.append(self.data[since:end])
        self.kept = sum(map(len, chunks))
        if self.kept > MOST:
            raise ConfigError(f"{self.where}: more than {MOST >> 20} MiB without its weights; expected a graph")
        return b"".join(chunks)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
