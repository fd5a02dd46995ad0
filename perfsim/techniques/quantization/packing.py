"""Weights in a packed format, and the unpacking in front of every product with them: what all formats share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.edit import exchanged
from perfsim.ops import Dequantize, ExpertLinear
from perfsim.ops.contextual import ContextualProduct
from perfsim.ops.sparse import SparseProduct
from perfsim.quantities.dtypes import DTYPES, DType
from perfsim.techniques.base import INTEGER_FORMATS
from perfsim.techniques.products import stored_weights

__all__ = [
    "Packing", "dequantize", "grouped_bits", "integer_format", "pack_weights", "partial_reader",
    "unknown_width",
]  # fmt: skip

Unpack = Callable[[Operator, tuple[Tensor, ...], tuple[str, ...]], tuple[Operator, tuple[Tensor, ...]]]
"""From a product, its packed weights and the names of the unpacked ones to the unpacking operator and its tables."""


def grouped_bits(*, bits: float, group: int, per_group: float) -> float:
    """Bits per weight with ``per_group`` bits for every ``group`` weights [bit]: bits + per_group/group."""
    return bits + per_group / group


def unknown_width(*widths: int) -> str | None:
    """Why integers of one of these widths cannot be stored, or None."""
    unknown = [bits for bits in widths if bits not in INTEGER_FORMATS]
    return f"no integer format has {unknown[0]} bits" if unknown else None


def integer_format(*, bits: int, group: int, zero_point: int = 1) -> DType:
    """Integers of ``bits`` bits with a 16-bit scale, and a zero point of the same width if asked, per ``group``."""
    per_weight = grouped_bits(bits=bits, group=group, per_group=16 + bits * zero_point)
    return DType(f"{INTEGER_FORMATS[bits]}-group{group}", per_weight, "int")  # type: ignore[arg-type]


def partial_reader(op: Operator) -> ExpertLinear | ContextualProduct | None:
    """The product, if it touches only a part of its weights."""
    return op if isinstance(op, ExpertLinear | ContextualProduct) else None


def dequantize(
    op: Operator, weights: tuple[Tensor, ...], unpacked: tuple[str, ...]
) -> tuple[Operator, tuple[Tensor, ...]]:
    """A dequantisation of all weights of a product, or of those that it touches."""
    names = tuple(weight.name for weight in weights)
    return Dequantize(f"{op.name}.dequantize", names, unpacked, op.region, partial_reader(op)), ()


@dataclass(frozen=True)
class Packing:
    """How the weights of one product are stored.

    stored: format, whose bits count everything that is stored per weight; unpack: makes the operator that turns them
    into numbers of the arithmetic.
    """

    stored: DType
    unpack: Unpack = field(default=dequantize)


def pack_weights(graph: OperatorGraph, packings: Mapping[str, Packing]) -> OperatorGraph:
    """The graph with the stored weights of the named products packed, and an unpacking in front of each.

    Weights that are stored in as few bits already keep their format. Of a sparse product only the kept weights are
    packed; its index stays as it is.
    """
    chosen = (op for op in graph.operators if op.name in packings)
    return exchanged(graph, chosen, lambda op, tensors: _packed(op, graph, tensors, packings[op.name]))


def _packed(op: Operator, graph: OperatorGraph, tensors: dict[str, Tensor], packing: Packing) -> list[Operator]:
    """The unpacking and the product behind it, or the product alone if its weights are as narrow already."""
    formats = {name: _format(packing.stored, op, tensors[name]) for name in stored_weights(op, graph)}
    packed = {name: f"{name}.dequantized" for name, f in formats.items() if tensors[name].dtype.bits > f.bits}
    for name, unpacked in packed.items():
        fields = {"role": Role.ACTIVATION, "dtype": _plain(tensors[name].dtype), "view_of": ""}
        tensors[unpacked] = tensors[name].replace(name=unpacked, **fields)
        _store(tensors, name, formats[name])
    if not packed:
        return [op]
    made, tables = packing.unpack(_dense(op), tuple(tensors[n] for n in packed), tuple(packed.values()))
    tensors.update({table.name: table for table in tables})
    return [made, replace(op, inputs=tuple(packed.get(name, name) for name in op.inputs))]


def _dense(op: Operator) -> Operator:
    """The product that a sparse one stands for, under its name and in its place."""
    if not isinstance(op, SparseProduct) or isinstance(op, ContextualProduct) or op.dense is None:
        return op
    return replace(op.dense, name=op.name, inputs=op.inputs, outputs=op.outputs, region=op.region)


def _plain(stored: DType) -> DType:
    """The format of the kept values of a sparse matrix, else the format itself."""
    return DTYPES.get(stored.name.removesuffix("-sparse"), stored) if stored.name.endswith("-sparse") else stored


def _format(stored: DType, op: Operator, weight: Tensor) -> DType:
    """The packed format; of a sparse product the kept weights in it, and the index that was there."""
    plain = _plain(weight.dtype)
    if not isinstance(op, SparseProduct) or plain is weight.dtype:
        return stored
    bits = stored.bits * op.kept + (weight.dtype.bits - plain.bits * op.kept)
    return DType(f"{stored.name}-sparse", bits, stored.kind)  # type: ignore[arg-type]


def _store(tensors: dict[str, Tensor], name: str, stored: DType) -> None:
    """Change the format of a stored tensor, and of what it is a view of."""
    tensors[name] = tensors[name].replace(dtype=stored)
    base = tensors[name].view_of
    if base:
        tensors[base] = tensors[base].replace(dtype=stored)
