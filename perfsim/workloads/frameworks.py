"""What a framework makes of a network at run time: casts around operators, wide norms, copies between layouts."""

from __future__ import annotations

import math
from dataclasses import replace

from perfsim.devices import Stack
from perfsim.graph import Operator, OperatorGraph, Role, Tensor, Unit
from perfsim.ops import Conv, Elementwise, Join
from perfsim.quantities.dtypes import DTYPES, DType

__all__ = ["WIDE_KINDS", "as_run", "autocast", "channels_first"]

WIDE_KINDS = frozenset({"norm", "group-norm", "response-norm", "softmax"})
"""Kinds of operator that are computed and stored in fp32, as in the list of torch.amp [1]. Batch norms are not on it:
they take what they are given."""


def as_run(graph: OperatorGraph, stack: Stack) -> OperatorGraph:
    """The graph with the operators that ``stack`` adds to it: casts, and copies between layouts."""
    graph = autocast(graph) if stack.autocast else graph
    return channels_first(graph) if stack.channels_first else graph


def autocast(graph: OperatorGraph) -> OperatorGraph:
    """The graph as automatic mixed precision runs it [1]: parameters are kept in fp32 and cast in every pass.

    Matrix work reads 16-bit copies, each made by a kernel of its own; norms and softmax read and write fp32; element by
    element operators take the widest format among their inputs, so a learned vector or table of positions makes the
    residual stream fp32. Operators whose outputs are not 16 bits wide, and kernels that the graph prescribes, stay as
    they are.

    References
    ----------
    .. [1] PyTorch documentation, "Automatic Mixed Precision package - torch.amp", autocast op reference (CUDA).
    """
    once = _autocast(graph, frozenset())
    carried = _carried(once)
    return _autocast(graph, carried) if carried else once


def _autocast(graph: OperatorGraph, carried: frozenset[str]) -> OperatorGraph:
    """One walk; carried: activations that are fp32 whatever makes them."""
    work = _Rewrite(graph, DTYPES["fp32"])
    for op in graph.operators:
        work.autocast(op, carried)
    return work.result()


def _carried(graph: OperatorGraph) -> frozenset[str]:
    """What enters a repeated region in 16 bits and leaves it in fp32: all repetitions but the first read it in fp32."""
    last = {op.region: graph.tensors[op.outputs[0]] for op in graph.operators if op.region}
    wide = {region: tensor for region, tensor in last.items() if tensor.dtype.bits == 32}
    return frozenset(
        name
        for op in graph.operators
        if op.region in wide and graph.regions[op.region] != 1
        for name in op.inputs
        if graph.tensors[name].region != op.region
        and graph.tensors[name].role is Role.ACTIVATION
        and graph.tensors[name].shape == wide[op.region].shape
    )


def channels_first(graph: OperatorGraph) -> OperatorGraph:
    """The graph with feature maps stored channel by channel.

    Dense convolutions of more than one tap copy their map into the other layout and their result back, since the
    kernels on matrix units read channels side by side [1]. A 1×1 convolution is a plain product in either layout;
    grouped and depthwise ones have kernels for both.

    References
    ----------
    .. [1] NVIDIA, "Convolutional Layers User's Guide", section "Tensor Layouts In Memory: NCHW vs NHWC".
    """
    work = _Rewrite(graph, None)
    for op in graph.operators:
        work.relayout(op)
    return work.result()


class _Rewrite:
    """Walks the operators in order and collects the new graph; wide: format in which parameters are kept, or None."""

    def __init__(self, graph: OperatorGraph, wide: DType | None) -> None:
        self.graph = graph
        self.operators: list[Operator] = []
        self.tensors: dict[str, Tensor] = dict(graph.tensors)
        if wide is not None:
            kept = (Role.WEIGHT, Role.STATE)
            changed = {n: t for n, t in graph.tensors.items() if t.role in kept and t.dtype.bits == 16}
            self.tensors.update({name: t.replace(dtype=wide) for name, t in changed.items()})

    def result(self) -> OperatorGraph:
        """The graph so far."""
        return replace(self.graph, operators=tuple(self.operators), tensors=self.tensors)

    def autocast(self, op: Operator, carried: frozenset[str]) -> None:
        """Take over one operator, with casts in front of it where its inputs have another format."""
        narrow, wide = self.tensors[op.outputs[0]].dtype, DTYPES["fp32"]
        if narrow.bits != 16 or op.name in self.graph.kernels:
            self.operators.append(op)
            return
        out = narrow
        if op.unit is Unit.TENSOR:
            op = replace(op, inputs=tuple(self._cast(op, name, narrow) for name in op.inputs))
        elif op.kind in WIDE_KINDS:
            op, out = replace(op, inputs=(self._cast(op, op.inputs[0], wide), *op.inputs[1:])), wide
        else:
            out = self._widest(op, narrow)
        self.operators.append(op)
        for name in op.outputs:
            chosen = wide if name in carried else out
            if self.tensors[name].dtype is not chosen:
                self.tensors[name] = self.tensors[name].replace(dtype=chosen)

    def _widest(self, op: Operator, narrow: DType) -> DType:
        promotes = isinstance(op, Join) or (isinstance(op, Elementwise) and op.function != "bias")
        read = [self.tensors[name].dtype for name in (op.inputs if promotes else op.inputs[:1])]
        return max((narrow, *read), key=lambda dtype: dtype.bits)  # unpacking makes a narrow format wide

    def _cast(self, op: Operator, name: str, dtype: DType) -> str:
        """The tensor ``name`` in the given format, cast by a new operator if it has another."""
        bits = self.tensors[name].dtype.bits
        if bits == dtype.bits or bits not in (16, 32):
            return name
        function = "downcast" if dtype.bits == 16 else "upcast"
        return self._made(op, f"cast.{op.inputs.index(name)}", name, function, dtype)

    def relayout(self, op: Operator) -> None:
        """Take over one operator, with copies around it if it is a dense convolution of more than one tap."""
        dense = type(op) is Conv and op.name not in self.graph.kernels
        if not dense or math.prod(self.tensors[op.inputs[1]].shape[3:]) == 1:
            self.operators.append(op)
            return
        features, out = op.inputs[0], op.outputs[0]
        inner = f"{out}.channels_last"
        self.tensors[inner] = self.tensors[out].replace(name=inner)
        copied = self._made(op, "to_channels_last", features, "copy", self.tensors[features].dtype)
        self.operators.append(replace(op, inputs=(copied, *op.inputs[1:]), outputs=(inner,)))
        self.operators.append(Elementwise(f"{op.name}.to_channels_first", (inner,), (out,), op.region, "copy"))

    def _made(self, op: Operator, what: str, name: str, function: str, dtype: DType) -> str:
        """A copy of the tensor ``name``, made for ``op`` by an operator of its own."""
        full = f"{op.name}.{what}"
        output, tensor = f"{full}.out", self.tensors[name]
        self.tensors[output] = tensor.replace(
            name=output, dtype=dtype, role=Role.ACTIVATION, region=op.region, view_of=""
        )
        self.operators.append(Elementwise(full, (name,), (output,), op.region, function))
        return output
