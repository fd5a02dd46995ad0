"""RegNet: stage widths from a quantised linear rule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.scaling import scaled_fields, scaled_number

__all__ = ["RegNet"]


@dataclass(frozen=True, kw_only=True)
class RegNet(VisionModel):
    """Four stages of bottlenecks without a bottleneck: 1×1, grouped 3×3, optional squeeze-and-excite, 1×1.

    depth: blocks; initial_width, slope, multiplier: block j wishes initial_width + slope·j channels, rounded to
    initial_width times a power of the multiplier; group_width: channels per group; squeeze: share of the block's
    input channels, 0 for none; stem_width.

    References
    ----------
    .. [1] I. Radosavovic et al., "Designing Network Design Spaces", arXiv 2003.13678, section 3.3.
    """

    depth: int
    initial_width: int
    slope: float
    multiplier: float
    group_width: int
    squeeze: float = 0.0
    stem_width: int = 32

    def _wider(self, factor: float) -> dict[str, Any]:
        """All widths, the groups', too, so that their number stays."""
        fields = scaled_fields(self, ("initial_width", "group_width", "stem_width"), factor, 8)
        return {**fields, "slope": self.slope * factor}

    def _deeper(self, factor: float) -> dict[str, Any]:
        """More blocks along the same range of widths."""
        depth = scaled_number(self.depth, factor)
        return {"depth": depth, "slope": self.slope * self.depth / depth}

    def stages(self) -> list[tuple[int, int, int]]:
        """(channels, blocks, groups) of every stage."""
        widths = []
        for index in range(self.depth):
            wished = self.initial_width + self.slope * index
            power = round(math.log(wished / self.initial_width) / math.log(self.multiplier))
            widths.append(round(self.initial_width * self.multiplier**power / 8) * 8)
        result = []
        for width in dict.fromkeys(widths):
            group = min(self.group_width, width)
            fitted = round(width / group) * group
            result.append((fitted, widths.count(width), fitted // group))
        return result

    def layers(self, net: Net, image: str) -> None:
        """Stem, stages that each halve the size, classifier."""
        x = net.conv_norm("stem", image, self.stem_width, 3, 2)
        for stage, (width, blocks, groups) in enumerate(self.stages(), start=1):
            with net.block(f"s{stage}.b1"):
                x = self._block(net, x, width, groups, 2)
            if blocks > 1:
                with net.block(f"s{stage}.b2", blocks - 1):
                    x = self._block(net, x, width, groups, 1)
        net.classifier(x, self.classes)

    def _block(self, net: Net, x: str, width: int, groups: int, stride: int) -> str:
        y = net.conv_norm("conv1", x, width)
        y = net.conv_norm("conv2", y, width, 3, stride, groups=groups)
        if self.squeeze:
            y = net.squeeze_excite("se", y, round(net.channels(x) * self.squeeze))
        y = net.conv_norm("conv3", y, width, act="")
        if stride > 1 or net.channels(x) != width:
            x = net.conv_norm("shortcut", x, width, 1, stride, act="")
        return net.add("residual", y, x, "relu")
