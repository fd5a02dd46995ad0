"""Layers as a tiler sees them: sizes of features and weights, and which kind of kernel runs them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Box", "Layer"]

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
    where each waits for the one before [1]; operand: bytes that the features of one image are multiplied by, where
    these are not the weights: another feature map, or the weights of this image alone [byte]; flops, vector: operations
    of one image that the matrix unit and the others execute [FLOP].
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
    operand: float | None = None
    flops: float = 0.0
    vector: float = 0.0

    @property
    def factor(self) -> float:
        """Bytes that the features of one image are multiplied by [byte]."""
        return self.weights if self.operand is None else self.operand

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
