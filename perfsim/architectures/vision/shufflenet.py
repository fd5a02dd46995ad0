"""ShuffleNet v1 and v2: cheap 1×1 convolutions, and channels exchanged between groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.ops import ChannelShuffle, Split

__all__ = ["ShuffleNet", "ShuffleNetV2"]


@dataclass(frozen=True, kw_only=True)
class ShuffleNet(VisionModel):
    """Stem, stages of bottlenecks with grouped 1×1 convolutions and a shuffle between them, classifier without bias.

    stem: channels; widths, depths: channels and blocks per stage; groups: of the 1×1 convolutions. A strided block
    joins its output to the averaged input instead of adding it.

    References
    ----------
    .. [1] X. Zhang et al., arXiv 1707.01083.
    """

    stem: int
    widths: tuple[int, ...]
    depths: tuple[int, ...] = (4, 8, 4)
    groups: int = 3

    width_fields: ClassVar[tuple[str, ...]] = ("stem", "widths")
    depth_fields: ClassVar[tuple[str, ...]] = ("depths",)
    width_multiple: ClassVar[int] = 24

    def layers(self, net: Net, image: str) -> None:
        """Stem, stages, classifier."""
        x = net.pool("stem.pool", net.conv_norm("stem", image, self.stem, 3, 2), 3, 2, padding=1)
        for stage, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
            with net.block(f"stages.{stage}.0"):
                x = self._block(net, x, width, 2, 1 if stage == 0 else self.groups)
            if depth > 1:
                with net.block(f"stages.{stage}.1", depth - 1):
                    x = self._block(net, x, width, 1, self.groups)
        net.linear("head", net.global_pool("head.pool", x), self.classes, bias=False)

    def _block(self, net: Net, x: str, width: int, stride: int, first_groups: int) -> str:
        middle, out = width // 4, width - net.channels(x) if stride == 2 else width
        y = net.conv_norm("conv1", x, middle, groups=first_groups)
        if self.groups > 1:
            y = net.builder.add(ChannelShuffle, "shuffle", (y,), groups=self.groups)
        y = net.conv_norm("depthwise", y, middle, 3, stride, groups=middle, act="")
        y = net.conv_norm("conv2", y, out, groups=self.groups, act="")
        if stride == 1:
            return net.add("residual", y, x, "relu")
        averaged = net.pool("shortcut", x, 3, 2, padding=1, function="mean")
        return net.join("join", averaged, net.act("conv2.act", y, "relu"))


@dataclass(frozen=True, kw_only=True)
class ShuffleNetV2(VisionModel):
    """Stem, stages of units that work on half of the channels, a last 1×1 convolution, classifier.

    widths, depths: channels and units per stage; features: channels of the last convolution.

    References
    ----------
    .. [1] N. Ma et al., arXiv 1807.11164.
    """

    stem: int = 24
    widths: tuple[int, ...]
    depths: tuple[int, ...] = (4, 8, 4)
    features: int = 1024

    width_fields: ClassVar[tuple[str, ...]] = ("stem", "widths")
    depth_fields: ClassVar[tuple[str, ...]] = ("depths",)

    def layers(self, net: Net, image: str) -> None:
        """Stem, stages, head."""
        x = net.pool("stem.pool", net.conv_norm("stem", image, self.stem, 3, 2), 3, 2, padding=1)
        for stage, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
            with net.block(f"stages.{stage}.0"):
                x = self._strided(net, x, width)
            if depth > 1:
                with net.block(f"stages.{stage}.1", depth - 1):
                    x = self._unit(net, x, width)
        net.classifier(net.conv_norm("features", x, self.features), self.classes)

    def _unit(self, net: Net, x: str, width: int) -> str:
        half = width // 2
        kept, used = net.builder.add(Split, "split", (x,), outputs=("kept", "used"), sizes=(half, half))
        return self._shuffled(net, kept, self._branch(net, used, half, 1))

    def _strided(self, net: Net, x: str, width: int) -> str:
        inputs = net.channels(x)
        y = net.conv_norm("left.depthwise", x, inputs, 3, 2, groups=inputs, act="")
        return self._shuffled(net, net.conv_norm("left.conv", y, width // 2), self._branch(net, x, width // 2, 2))

    @staticmethod
    def _branch(net: Net, x: str, half: int, stride: int) -> str:
        y = net.conv_norm("conv1", x, half)
        y = net.conv_norm("depthwise", y, half, 3, stride, groups=half, act="")
        return net.conv_norm("conv2", y, half)

    @staticmethod
    def _shuffled(net: Net, left: str, right: str) -> str:
        y: str = net.builder.add(ChannelShuffle, "shuffle", (net.join("join", left, right),))
        return y
