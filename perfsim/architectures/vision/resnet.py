"""Residual networks: ResNet, ResNeXt, Wide ResNet, SE-ResNet and the "D" variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.rounding import round_channels

__all__ = ["ResNet"]


@dataclass(frozen=True, kw_only=True)
class ResNet(VisionModel):
    """Four stages of residual blocks.

    block: ``basic`` (two 3×3) or ``bottleneck`` (1×1, 3×3, 1×1); layers_per_stage: blocks; planes: channels of the
    first stage; cardinality, base_width: groups of the 3×3 and width of each at 64 planes; stem: ``plain`` (one 7×7),
    ``deep`` (three 3×3) or ``tiered`` (three 3×3 that widen); stem_width: of the second of three; average_shortcut:
    the shortcut pools before it projects; squeeze: share of channels in a squeeze-and-excite, 0 for none.

    References
    ----------
    .. [1] K. He et al., arXiv 1512.03385. [2] S. Xie et al., arXiv 1611.05431. [3] S. Zagoruyko, N. Komodakis,
       arXiv 1605.07146. [4] T. He et al., arXiv 1812.01187.
    """

    block: str = "bottleneck"
    layers_per_stage: tuple[int, ...]
    planes: int = 64
    cardinality: int = 1
    base_width: int = 64
    stem: str = "plain"
    stem_width: int = 32
    average_shortcut: bool = False
    squeeze: float = 0.0

    width_fields: ClassVar[tuple[str, ...]] = ("planes",)
    depth_fields: ClassVar[tuple[str, ...]] = ("layers_per_stage",)
    choices: ClassVar = (("block", ("basic", "bottleneck")), ("stem", ("plain", "deep", "tiered")))

    def layers(self, net: Net, image: str) -> None:
        """Stem, stages, classifier."""
        net.classifier(self.features(net, image), self.classes)

    def features(self, net: Net, image: str) -> str:
        """The map that the last stage leaves."""
        x = self._stem(net, image)
        for stage, blocks in enumerate(self.layers_per_stage):
            planes, stride = self.planes << stage, 1 if stage == 0 else 2
            with net.block(f"layer{stage + 1}.0"):
                x = self._block(net, x, planes, stride)
            if blocks > 1:
                with net.block(f"layer{stage + 1}.1", blocks - 1):
                    x = self._block(net, x, planes, 1)
        return x

    def _stem(self, net: Net, x: str) -> str:
        if self.stem == "plain":
            x = net.conv_norm("conv1", x, self.planes, 7, 2)
        else:
            first = self.stem_width if self.stem == "deep" else 3 * self.stem_width // 4
            for index, width in enumerate((first, self.stem_width, self.planes)):
                x = net.conv_norm(f"conv1.{index}", x, width, 3, 2 if index == 0 else 1)
        return net.pool("maxpool", x, 3, 2, padding=1)

    def _block(self, net: Net, x: str, planes: int, stride: int) -> str:
        basic = self.block == "basic"
        out = planes if basic else 4 * planes
        y = self._basic(net, x, planes, stride) if basic else self._bottleneck(net, x, planes, stride)
        if self.squeeze:
            y = net.squeeze_excite("se", y, round_channels(out * self.squeeze, limit=0.0))
        if stride > 1 or net.channels(x) != out:
            x = self._shortcut(net, x, out, stride)
        return net.add("residual", y, x, "relu")

    def _basic(self, net: Net, x: str, planes: int, stride: int) -> str:
        y = net.conv_norm("conv1", x, planes, 3, stride)
        return net.conv_norm("conv2", y, planes, 3, act="")

    def _bottleneck(self, net: Net, x: str, planes: int, stride: int) -> str:
        width = planes * self.base_width // 64 * self.cardinality
        y = net.conv_norm("conv1", x, width)
        y = net.conv_norm("conv2", y, width, 3, stride, groups=self.cardinality)
        return net.conv_norm("conv3", y, 4 * planes, act="")

    def _shortcut(self, net: Net, x: str, out: int, stride: int) -> str:
        if self.average_shortcut and stride > 1:
            x = net.pool("shortcut.pool", x, 2, stride, function="mean", ceil_mode=True)
            stride = 1
        return net.conv_norm("shortcut", x, out, 1, stride, act="")
