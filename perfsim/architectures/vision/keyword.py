"""Keyword spotting by convolutions along the time: TC-ResNet and MatchboxNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.audio import AudioModel, in_time
from perfsim.architectures.vision.net import Net

__all__ = ["MatchboxNet", "TcResNet"]


@dataclass(frozen=True, kw_only=True)
class TcResNet(AudioModel):
    """Residual blocks of two convolutions over nine frames; the spectral features are the channels of the first layer.

    widths: channels of the first layer and of each block; a block that changes them halves the frames.

    References
    ----------
    .. [1] S. Choi et al., "Temporal Convolution for Real-time Keyword Spotting on Mobile Devices", arXiv 1904.03814.
    """

    image_size: int = 98
    classes: int = 12
    widths: tuple[int, ...]

    width_fields: ClassVar[tuple[str, ...]] = ("widths",)

    def layers(self, net: Net, image: str) -> None:
        """First layer, blocks, mean over the frames, projection."""
        x = net.conv_norm("first", image, self.widths[0], in_time(3))
        for index, width in enumerate(self.widths[1:]):
            with net.block(f"block{index}"):
                x = self._block(net, x, width)
        x = net.global_pool("mean", x)
        net.linear("head", x, self.classes, bias=False)

    def _block(self, net: Net, x: str, width: int) -> str:
        changed = width != net.channels(x)
        stride = in_time(2 if changed else 1)
        y = net.conv_norm("conv1", x, width, in_time(9), stride)
        y = net.conv_norm("conv2", y, width, in_time(9), act="")
        return net.add("residual", y, net.conv_norm("shortcut", x, width, 1, stride) if changed else x, "relu")


@dataclass(frozen=True, kw_only=True)
class MatchboxNet(AudioModel):
    """Depthwise convolutions along the time, each with a pointwise one behind it, in residual blocks.

    width: channels of the blocks; repeat: pairs of convolutions per block; kernels: taps of the blocks; edge: channels
    of the layers before and behind the blocks.

    References
    ----------
    .. [1] S. Majumdar, B. Ginsburg, "MatchboxNet", arXiv 2004.08531.
    """

    image_size: int = 128
    channels: int = 64
    classes: int = 30
    width: int = 64
    repeat: int = 1
    kernels: tuple[int, ...] = (13, 15, 17)
    edge: int = 128

    width_fields: ClassVar[tuple[str, ...]] = ("width", "edge")
    depth_fields: ClassVar[tuple[str, ...]] = ("repeat",)

    def layers(self, net: Net, image: str) -> None:
        """One layer, residual blocks, two layers, mean over the frames, projection."""
        x = self._pair(net, "before", image, self.edge, 11)
        for index, taps in enumerate(self.kernels):
            with net.block(f"block{index}"):
                x = self._block(net, x, taps)
        x = self._pair(net, "behind", x, self.edge, 29, 2)
        x = net.conv_norm("last", x, self.edge)
        net.classifier(x, self.classes)

    def _pair(self, net: Net, name: str, x: str, out: int, taps: int, apart: int = 1, act: str = "relu") -> str:
        kernel, spread = in_time(taps), in_time(apart)
        y = net.conv(f"{name}.depthwise", x, net.channels(x), kernel, groups=net.channels(x), dilation=spread)
        return net.conv_norm(f"{name}.pointwise", y, out, act=act)

    def _block(self, net: Net, x: str, taps: int) -> str:
        y = x
        for index in range(self.repeat):
            y = self._pair(net, f"pair{index}", y, self.width, taps, act="relu" if index + 1 < self.repeat else "")
        return net.add("residual", y, net.conv_norm("shortcut", x, self.width, act=""), "relu")
