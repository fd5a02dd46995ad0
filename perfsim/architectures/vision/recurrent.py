"""Keyword spotting by recurrent cells over the frames, maybe behind a convolution."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from perfsim.architectures.vision.audio import AudioModel
from perfsim.architectures.vision.net import Net
from perfsim.graph import Role
from perfsim.ops import Gru, Lstm, Rearrange

__all__ = ["RecurrentNet"]

_CELLS: Mapping[str, type[Lstm]] = MappingProxyType({"lstm": Lstm, "gru": Gru})


@dataclass(frozen=True, kw_only=True)
class RecurrentNet(AudioModel):
    """Layers of cells that see one frame after the other; the last state is projected.

    cell: ``lstm`` or ``gru``; hidden: cells per layer; depth: layers; filters: channels of a convolution over frames
    and features in front, 0 for none; kernel, stride: of it, frames first, without padding; dense: width of a
    projection before the last one, 0 for none.

    References
    ----------
    .. [1] Y. Zhang et al., "Hello Edge: Keyword Spotting on Microcontrollers", arXiv 1711.07128.
    .. [2] S. Arik et al., arXiv 1703.05390 (convolution in front).
    """

    image_size: int = 49
    channels: int = 10
    classes: int = 12
    cell: str = "lstm"
    hidden: int
    depth: int = 1
    filters: int = 0
    kernel: tuple[int, ...] = (10, 4)
    stride: tuple[int, ...] = (2, 2)
    dense: int = 0

    choices: ClassVar = (("cell", tuple(_CELLS)),)
    width_fields: ClassVar[tuple[str, ...]] = ("hidden", "filters", "dense")
    depth_fields: ClassVar[tuple[str, ...]] = ("depth",)
    width_multiple: ClassVar[int] = 2

    def given(self, net: Net) -> str:
        """The features of all frames: a map of one channel, or one row per frame."""
        batch, frames = net.step.batch, net.step.image_size
        shape = (batch, 1, frames, self.channels) if self.filters else (batch, frames, self.channels)
        return net.builder.tensor("frames", shape, net.step.dtype, Role.INPUT)

    def layers(self, net: Net, image: str) -> None:
        """Convolution, cells, projections."""
        x = self._convolved(net, image) if self.filters else image
        for index in range(self.depth):
            x, state = self._cells(net, f"cells{index}", x)
        if self.dense:
            state = net.act("dense.act", net.linear("dense", state, self.dense), "relu")
        net.linear("head", state, self.classes)

    def _convolved(self, net: Net, image: str) -> str:
        x = net.conv("conv", image, self.filters, self.kernel, self.stride, padding=0, bias=True)
        x = net.act("conv.act", x, "relu")
        batch, channels, frames, features = net.builder.shape(x)
        y: str = net.builder.add(Rearrange, "rows", (x,), shape=(batch, frames, math.prod((features, channels))))
        return y

    def _cells(self, net: Net, name: str, x: str) -> tuple[str, str]:
        """All states and the last one."""
        kind, width = _CELLS[self.cell], net.channels(x)
        wide = kind.gates * self.hidden
        weights = (net.weight(f"{name}.weight", width, wide), net.weight(f"{name}.recurrent", self.hidden, wide))
        inputs = (x, *weights, net.weight(f"{name}.bias", wide))
        states: tuple[str, str] = net.builder.add(kind, name, inputs, outputs=("", "last"))
        return states
