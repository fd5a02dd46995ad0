"""Mixed precision as a framework does it at run time: casts around operators, wide norms, wide parameters."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from perfsim.graph import Operator, OperatorGraph, Role, Tensor, Unit
from perfsim.ops import Elementwise, Join
from perfsim.quantities.dtypes import DTYPES, DType

__all__ = ["WIDE_KINDS", "autocast"]

WIDE_KINDS = frozenset({"norm", "group-norm", "response-norm", "softmax"})
"""Kinds of operator that are computed and stored in fp32, as in the list of torch.amp [1]. Batch norms are not on it:
they take what they are given."""


@lru_cache(maxsize=64)
def autocast(graph: OperatorGraph) -> OperatorGraph:
    """The graph as automatic mixed precision runs it [1]: parameters are kept in fp32 and cast in every pass.

    Matrix work reads 16-bit copies, each made by a kernel of its own; norms and softmax read and write fp32; element by
    element operators take the widest format among their inputs, so a learned vector or table of positions makes the
    residual stream fp32. Graphs whose features are not 16 bits wide stay as they are.

    References
    ----------
    .. [1] PyTorch documentation, "Automatic Mixed Precision package - torch.amp", autocast op reference (CUDA).
    """
    rewriting = _Autocast(graph)
    for op in graph.operators:
        rewriting.add(op)
    return replace(graph, operators=tuple(rewriting.operators), tensors=rewriting.tensors)


class _Autocast:
    """Walks the operators in order and settles the format of every tensor."""

    def __init__(self, graph: OperatorGraph) -> None:
        self.wide = DTYPES["fp32"]
        self.operators: list[Operator] = []
        self.tensors: dict[str, Tensor] = {
            name: t.replace(dtype=self.wide) if t.role in (Role.WEIGHT, Role.STATE) and t.dtype.bits == 16 else t
            for name, t in graph.tensors.items()
        }

    def add(self, op: Operator) -> None:
        """Take over one operator, with casts in front of it where its inputs have another format."""
        formats = [self.tensors[name].dtype for name in op.outputs]
        if any(dtype.bits != 16 for dtype in formats):
            self.operators.append(op)
            return
        narrow = formats[0]
        if op.unit is Unit.TENSOR:
            op, out = replace(op, inputs=tuple(self._as(op, name, narrow) for name in op.inputs)), narrow
        elif op.kind in WIDE_KINDS:
            op, out = replace(op, inputs=(self._as(op, op.inputs[0], self.wide), *op.inputs[1:])), self.wide
        else:
            out = self._widest(op)
        self.operators.append(op)
        for name in op.outputs:
            self.tensors[name] = self.tensors[name].replace(dtype=out)

    def _widest(self, op: Operator) -> DType:
        promotes = isinstance(op, Join) or (isinstance(op, Elementwise) and op.function != "bias")
        read = [self.tensors[name].dtype for name in (op.inputs if promotes else op.inputs[:1])]
        return max(read, key=lambda dtype: dtype.bits)

    def _as(self, op: Operator, name: str, dtype: DType) -> str:
        """The tensor ``name`` in the given format, cast by a new operator if it has another."""
        tensor = self.tensors[name]
        if tensor.dtype.bits == dtype.bits or tensor.dtype.bits not in (16, 32):
            return name
        cast = f"{op.name}.cast.{op.inputs.index(name)}"
        output = f"{cast}.out"
        self.tensors[output] = tensor.replace(
            name=output, dtype=dtype, role=Role.ACTIVATION, region=op.region, view_of=""
        )
        function = "downcast" if dtype.bits == 16 else "upcast"
        self.operators.append(Elementwise(cast, (name,), (output,), op.region, function))
        return output
