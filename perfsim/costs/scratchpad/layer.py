"""Layers as a tiler sees them: sizes of features and weights, and which kernel of the library runs them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from perfsim.costs.lowering import Kernel
from perfsim.errors import InputError
from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.ops import Conv, DepthwiseConv, Linear, Lstm, Pool
from perfsim.quantities.numbers import Number

__all__ = ["Box", "Layer", "layer_of"]

FEW = 4
"""Input channels up to which a dense convolution is a first layer: they fill no SIMD register of int8 numbers twice."""

Box = tuple[int, int, int]
"""Channels, rows, columns of a feature map."""


@dataclass(frozen=True)
class Layer:
    """One image through one kernel.

    kind: ``pointwise``, ``first``, ``conv``, ``depthwise``, ``linear``, ``pool`` or ``elementwise``; batch: images [1];
    source, target: channels, rows and columns of the features read and written; kernel, stride: rows and columns of the
    window; macs: of one image [1]; element: bytes of one number [byte]; weights: bytes of all weights [byte];
    operands: further feature maps of the target's size that are read, e.g. the other side of an addition [1]; kept:
    share of the target that is written, less than all where it is a sum over the positions [1]; dilation: distance of
    the window's taps, rows and columns [1]; passes: how often weights that come in pieces are needed, once per position
    where each waits for the one before [1].
    """

    kind: str
    batch: int
    source: Box
    target: Box
    kernel: tuple[int, int]
    stride: tuple[int, int]
    macs: int
    element: float
    weights: float
    operands: int = 0
    kept: float = 1.0
    dilation: tuple[int, int] = (1, 1)
    passes: int = 1

    @property
    def channelwise(self) -> bool:
        """Whether each output channel needs its own input channel only, so that both are cut together."""
        return self.kind in ("depthwise", "pool", "elementwise")

    @property
    def positions(self) -> int:
        """Output positions of one channel [1]."""
        return self.target[1] * self.target[2]

    @property
    def outputs(self) -> int:
        """Output numbers of one image [1]."""
        return self.target[0] * self.positions

    @property
    def products(self) -> float:
        """Multiply-accumulates per output [1]."""
        return self.macs / self.outputs

    def window(self, rows: int, columns: int) -> tuple[int, int]:
        """Rows and columns of the input, padding included, that a tile of the output needs [1]."""
        first, second = (apart * (taps - 1) + 1 for apart, taps in zip(self.dilation, self.kernel, strict=True))
        return (rows - 1) * self.stride[0] + first, (columns - 1) * self.stride[1] + second


def layer_of(kernel: Kernel, graph: OperatorGraph) -> Layer:
    """The layer that a kernel is: its lead operator's shapes, and the weights of all its operators.

    Raises
    ------
    InputError
        for an operator without features, or if a size is not a plain number: a plan is made for one network at one
        size.
    """
    lead = kernel.lead
    tensors = graph.tensors
    shaped = [tensors[name] for name in (*lead.inputs[:1], *lead.outputs[:1])]
    if len(shaped) < 2 or any(len(tensor.shape) < 2 for tensor in shaped):
        raise InputError(f"{lead.name} ({lead.kind}): a stack that cuts layers into tiles plans image networks only")
    source = shaped[0]
    for tensor in shaped:
        if not all(isinstance(n, int) for n in tensor.shape):
            raise InputError(
                f"{lead.name}: a device without caches is planned layer by layer, for plain numbers only; "
                f"predict one batch and image size at a time"
            )
    weights = sum(tensors[name].nbytes for _, name in kernel.reads if tensors[name].role is Role.WEIGHT)
    features = [name for _, name in kernel.reads if tensors[name].role in (Role.ACTIVATION, Role.INPUT)]
    build = next((make for base, make in _BUILDERS.items() if isinstance(lead, base)), _elementwise)
    kind, box, window, stride = build(lead, tensors)
    batch, out = _box(tensors[lead.outputs[0]], isinstance(lead, Conv | Pool) and not getattr(lead, "tokens", False))
    passes = out[1] if isinstance(lead, Lstm) else 1
    if passes > 1:  # each position waits for the one before, and reads all weights again
        batch, out = batch * passes, (out[0], 1, 1)
    macs = sum(int(op.work(tensors).flops) for op in kernel.operators if op is lead) // (2 * batch)
    matrix = kind not in ("pool", "elementwise")
    return Layer(
        kind, batch, box, box if kind == "pool" and out[1:] == (1, 1) else out, window, stride,
        macs if matrix else 0, source.dtype.bits / 8, float(weights), max(0, len(features) - 1),
        1 / math.prod(box[1:]) if kind == "pool" and out[1:] == (1, 1) else 1.0,
        _plane(lead.dilation) if isinstance(lead, Conv) else (1, 1), passes,
    )  # fmt: skip


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


_Parts = tuple[str, Box, tuple[int, int], tuple[int, int]]


def _conv(op: Operator, tensors: Mapping[str, Tensor]) -> _Parts:
    assert isinstance(op, Conv)
    groups, _, _, *taps = tensors[op.inputs[1]].shape
    _, (channels, rows, columns) = _box(tensors[op.inputs[0]], channels_second=True)
    window, stride = _plane(taps), _plane(op.stride)
    if isinstance(op, DepthwiseConv):
        return "depthwise", (channels, rows, columns), window, stride
    if window == (1, 1):
        return "pointwise", (channels // groups, rows, columns), window, stride
    return "first" if channels // groups <= FEW else "conv", (channels // groups, rows, columns), window, stride


def _linear(op: Operator, tensors: Mapping[str, Tensor]) -> _Parts:
    assert isinstance(op, Linear)
    matrix = op.matrix(tensors)
    rows = int(matrix.m) // int(tensors[op.inputs[0]].shape[0])
    return "linear", (int(matrix.k), rows, 1), (1, 1), (1, 1)


def _recurrent(op: Operator, tensors: Mapping[str, Tensor]) -> _Parts:
    inputs, hidden = (int(tensors[name].shape[0]) for name in op.inputs[1:3])
    return "linear", (inputs + hidden, 1, 1), (1, 1), (1, 1)


def _pool(op: Operator, tensors: Mapping[str, Tensor]) -> _Parts:
    assert isinstance(op, Pool)
    return "pool", _box(tensors[op.inputs[0]], channels_second=True)[1], _plane(op.kernel), _plane(op.stride)


def _elementwise(op: Operator, tensors: Mapping[str, Tensor]) -> _Parts:
    """Everything else: one output per input, or a mean over all positions."""
    _, source = _box(tensors[op.inputs[0]])
    _, target = _box(tensors[op.outputs[0]])
    if source[1:] != target[1:] and target[1:] == (1, 1):
        return "pool", source, (1, 1), (1, 1)
    return "elementwise", source, (1, 1), (1, 1)


_BUILDERS: Mapping[type[Operator], Callable[[Operator, Mapping[str, Tensor]], _Parts]] = MappingProxyType(
    {Conv: _conv, Linear: _linear, Lstm: _recurrent, Pool: _pool}
)
