"""Which layer a kernel is: the shapes of its leading operator, and the work and the weights of all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from perfsim.costs.lowering import Kernel
from perfsim.costs.scratchpad.layer import Box, Layer
from perfsim.errors import InputError
from perfsim.graph import Operator, OperatorGraph, Role, Tensor, Tensors, Unit
from perfsim.ops import Conv, DepthwiseConv, Linear, Lstm, Pool
from perfsim.quantities.numbers import Number

__all__ = ["layer_of"]

FEW = 4
"""Input channels up to which a dense convolution is a first layer: they fill no SIMD register of int8 numbers twice."""


@dataclass(frozen=True)
class _Parts:
    """What the leading operator alone says of a layer; fields as in :class:`Layer`."""

    kind: str
    batch: int
    source: Box
    target: Box
    window: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    kept: float = 1.0
    passes: int = 1
    operand: float | None = None
    factors: int = 0
    """Feature maps among the operands of the product."""


def layer_of(kernel: Kernel, graph: OperatorGraph) -> Layer:
    """The layer that a kernel is: its lead operator's shapes, and the weights of all its operators.

    A product of which only a part is stored has the shapes of its dense form, and the work that its kernel executes.

    Raises
    ------
    InputError
        for an operator without features, for matrix work that is no matrix product, or if a size is not a plain
        number: a plan is made for one network at one size.
    """
    lead, tensors = kernel.lead.dense_form, graph.tensors
    shaped = [tensors[name] for name in (*lead.inputs[:1], *lead.outputs[:1])]
    if len(shaped) < 2 or any(len(tensor.shape) < 2 for tensor in shaped):
        raise InputError(f"{lead.name} ({lead.kind}): a stack that cuts layers into tiles plans image networks only")
    for tensor in shaped:
        if not all(isinstance(n, int) for n in tensor.shape):
            raise InputError(
                f"{lead.name}: a device without caches is planned layer by layer, for plain numbers only; "
                f"predict one batch and image size at a time"
            )
    parts = _builder(lead)(lead, tensors)
    weights = sum(tensors[name].nbytes for _, name in kernel.reads if tensors[name].role is Role.WEIGHT)
    features = [name for _, name in kernel.reads if tensors[name].role in (Role.ACTIVATION, Role.INPUT)]
    flops, vector = (_executed(kernel, tensors, unit) / parts.batch for unit in (Unit.TENSOR, Unit.VECTOR))
    return Layer(
        parts.kind, parts.batch, parts.source, parts.target, parts.window, parts.stride, round(flops / 2),
        shaped[0].dtype.bits / 8, float(weights), max(0, len(features) - 1 - parts.factors), parts.kept,
        parts.dilation, parts.passes, parts.operand, flops, vector,
    )  # fmt: skip


def _executed(kernel: Kernel, tensors: Tensors, unit: Unit) -> float:
    """Operations of all operators of a kernel that one unit executes [FLOP]."""
    works = (op.work(tensors) for op in kernel.operators)
    return float(sum(work.flops * work.executed for work in works if work.unit is unit))


def _builder(op: Operator) -> Callable[[Operator, Tensors], _Parts]:
    own = next((make for base, make in _BUILDERS.items() if isinstance(op, base)), None)
    return own or (_product if op.unit is Unit.TENSOR else _elementwise)


def _plane(sizes: Sequence[Number]) -> tuple[int, int]:
    """Rows and columns of what has one spatial axis, two, or more."""
    return int(sizes[0]), int(sizes[-1]) if len(sizes) > 1 else 1


def _box(tensor: Tensor, channels_second: bool = False) -> tuple[int, Box]:
    """Images, and channels, rows and columns of each; what is no map is one position per row.

    channels_second: whether three axes are those of a sequence, (batch, channels, positions), not of tokens.
    """
    shape = tensor.shape
    if len(shape) == 4 or (len(shape) == 3 and channels_second):
        return int(shape[0]), (int(shape[1]), *_plane(shape[2:]))
    rows = math.prod(int(n) for n in shape[1:-1])
    return int(shape[0]), (int(shape[-1]), rows, 1)


def _conv(op: Operator, tensors: Tensors) -> _Parts:
    assert isinstance(op, Conv)
    groups, _, _, *taps = tensors[op.inputs[1]].shape
    _, (channels, rows, columns) = _box(tensors[op.inputs[0]], channels_second=True)
    batch, target = _box(tensors[op.outputs[0]], channels_second=not op.tokens)
    window = _plane(taps)
    inputs = int(channels if isinstance(op, DepthwiseConv) else channels // groups)
    if isinstance(op, DepthwiseConv):
        kind = "depthwise"
    elif window == (1, 1):
        kind = "pointwise"
    else:
        kind = "first" if inputs <= FEW else "conv"
    return _Parts(kind, batch, (inputs, rows, columns), target, window, _plane(op.stride), _plane(op.dilation))


def _linear(op: Operator, tensors: Tensors) -> _Parts:
    assert isinstance(op, Linear)
    matrix = op.matrix(tensors)
    rows = int(matrix.m) // int(tensors[op.inputs[0]].shape[0])
    batch, target = _box(tensors[op.outputs[0]])
    return _Parts("linear", batch, (int(matrix.k), rows, 1), target)


def _recurrent(op: Operator, tensors: Tensors) -> _Parts:
    """Each position waits for the one before, and reads all weights again."""
    inputs, hidden = (int(tensors[name].shape[0]) for name in op.inputs[1:3])
    batch, (outputs, positions, _) = _box(tensors[op.outputs[0]])
    return _Parts("linear", batch * positions, (inputs + hidden, 1, 1), (outputs, 1, 1), passes=positions)


def _product(op: Operator, tensors: Tensors) -> _Parts:
    """Any other matrix product, by its shape: rows are positions, and each of the batch is an image.

    What the rows are multiplied by is an operand of the image's own, or one that all of them share: features as in
    attention, or weights as in projections head by head.
    """
    matrix = op.work(tensors).matrix
    if matrix is None:
        raise InputError(
            f"{op.name} ({op.kind}): a stack that cuts layers into tiles plans convolutions, matrix products, pooling "
            f"and element-wise work; leave out the technique that made it, or choose another stack"
        )
    batch, rows, columns, inner = (math.ceil(size) for size in (matrix.batch, matrix.m, matrix.n, matrix.k))
    others = [tensors[name] for name in op.inputs[1:]]
    nbytes = float(sum(op.accessed(tensor, tensors) for tensor in others))
    element = tensors[op.inputs[0]].dtype.bits / 8
    written = sum(float(tensors[name].elements) for name in op.outputs)
    return _Parts(
        "linear", batch, (inner, rows, 1), (columns, rows, 1), kept=written / (batch * rows * columns),
        operand=min(nbytes, max(inner * columns * element, nbytes / batch)),
        factors=sum(tensor.role in (Role.ACTIVATION, Role.INPUT) for tensor in others),
    )  # fmt: skip


def _pool(op: Operator, tensors: Tensors) -> _Parts:
    assert isinstance(op, Pool)
    _, source = _box(tensors[op.inputs[0]], channels_second=True)
    batch, target = _box(tensors[op.outputs[0]], channels_second=True)
    return _pooled(batch, source, target, _plane(op.kernel), _plane(op.stride))


def _elementwise(op: Operator, tensors: Tensors) -> _Parts:
    """Everything else: one output per input, or a mean over all positions."""
    _, source = _box(tensors[op.inputs[0]])
    batch, target = _box(tensors[op.outputs[0]])
    if source[1:] != target[1:] and target[1:] == (1, 1):
        return _pooled(batch, source, target, (1, 1), (1, 1))
    return _Parts("elementwise", batch, source, target)


def _pooled(batch: int, source: Box, target: Box, window: tuple[int, int], stride: tuple[int, int]) -> _Parts:
    """A sum over all positions reads each of them once and writes a part of what it reads."""
    if target[1:] == (1, 1):
        return _Parts("pool", batch, source, source, window, stride, kept=1 / math.prod(source[1:]))
    return _Parts("pool", batch, source, target, window, stride)


_BUILDERS: Mapping[type[Operator], Callable[[Operator, Tensors], _Parts]] = MappingProxyType(
    {Conv: _conv, Linear: _linear, Lstm: _recurrent, Pool: _pool}
)
