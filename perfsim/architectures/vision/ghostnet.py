"""GhostNet: half of the feature maps come from cheap depthwise convolutions of the other half."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.rounding import round_channels
from perfsim.errors import ConfigError

__all__ = ["GhostNet"]

_BLOCK = re.compile(r"k(\d+)_m(\d+)_c(\d+)(_se)?(_s2)?")


@dataclass(frozen=True, kw_only=True)
class GhostNet(VisionModel):
    """Stem, ghost bottlenecks, head.

    blocks: written like ``k5_m72_c40_se_s2``: kernel, inner and output channels, squeeze-and-excite to a quarter,
    stride 2; width: multiplier of all of them; stem, features: channels before and of the last two 1×1 convolutions.

    References
    ----------
    .. [1] K. Han et al., "GhostNet", arXiv 1911.11907.
    """

    blocks: tuple[str, ...]
    width: float = 1.0
    stem: int = 16
    features: int = 1280

    def _wider(self, factor: float) -> dict[str, Any]:
        return {"width": self.width * factor}

    def scaled_channels(self, channels: int) -> int:
        """Channels times the width multiplier, a multiple of 4."""
        return round_channels(channels * self.width, 4)

    def layers(self, net: Net, image: str) -> None:
        """Stem, blocks, head."""
        x = net.conv_norm("stem", image, self.scaled_channels(self.stem), 3, 2)
        middle = 0
        for index, text in enumerate(self.blocks):
            match = _BLOCK.fullmatch(text)
            if match is None:
                raise ConfigError(f'{self.name}: block "{text}": expected a notation like k5_m72_c40_se_s2')
            middle, out = self.scaled_channels(int(match[2])), self.scaled_channels(int(match[3]))
            with net.block(f"blocks.{index}"):
                x = self._block(net, x, int(match[1]), middle, out, bool(match[4]), 2 if match[5] else 1)
        x = net.global_pool("head.pool", net.conv_norm("last", x, middle))
        net.linear("head", net.act("features.act", net.linear("features", x, self.features), "relu"), self.classes)

    def _block(self, net: Net, x: str, kernel: int, middle: int, out: int, squeeze: bool, stride: int) -> str:
        inputs = net.channels(x)
        y = _ghost(net, "ghost1", x, middle, "relu")
        if stride > 1:
            y = net.conv_norm("depthwise", y, middle, kernel, stride, groups=middle, act="")
        if squeeze:
            y = net.squeeze_excite("se", y, round_channels(middle * 0.25, 4), gate="hardsigmoid")
        y = _ghost(net, "ghost2", y, out, "")
        if stride > 1 or inputs != out:
            x = net.conv_norm("shortcut.depthwise", x, inputs, kernel, stride, groups=inputs, act="")
            x = net.conv_norm("shortcut.conv", x, out, act="")
        return net.add("residual", y, x)


def _ghost(net: Net, name: str, x: str, out: int, act: str) -> str:
    """``out`` channels: a half by a 1×1 convolution, the other by a depthwise 3×3 one of that half."""
    half = out // 2
    first = net.conv_norm(f"{name}.primary", x, half, act=act)
    return net.join(f"{name}.join", first, net.conv_norm(f"{name}.cheap", first, half, 3, groups=half, act=act))
