"""ConvFirst: networks whose blocks begin with the spatial convolution, on few channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.errors import ConfigError

__all__ = ["ConvFirst"]


@dataclass(frozen=True, kw_only=True)
class ConvFirst(VisionModel):
    """Stages of blocks: k×k grouped convolution without activation, 1×1 expansion with SiLU, 1×1 projection, residual.

    depths, widths: blocks and channels per stage; expansion; kernel; group_width: channels per group; patch: size of
    the stem's patches. The block is known (its settings are those of the public Spio benchmarks), the stem, depths and
    widths of the published network are not: a table states its own. The catalogue's entry stands for the block.

    References
    ----------
    .. [1] A. Lavin, "On the Efficiency of Convolutional Neural Networks", arXiv 2404.03617.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    expansion: int = 6
    kernel: int = 3
    group_width: int = 8
    patch: int = 4

    width_fields: ClassVar[tuple[str, ...]] = ("widths",)
    depth_fields: ClassVar[tuple[str, ...]] = ("depths",)

    def __post_init__(self) -> None:
        super().__post_init__()
        for width in self.widths:
            if width % self.group_width:
                raise ConfigError(f"{self.name}: {width} channels are no whole groups of {self.group_width}")

    def layers(self, net: Net, image: str) -> None:
        """Patches, stages whose first block has a stride, classifier."""
        x = net.conv_norm("stem", image, self.widths[0], self.patch, self.patch, padding=0, act="")
        for stage, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True)):
            if stage:
                with net.block(f"stages.{stage}.0"):
                    x = self._block(net, x, width, 2)
            count = depth - (1 if stage else 0)
            if count:
                with net.block(f"stages.{stage}.blocks", count):
                    x = self._block(net, x, width, 1)
        net.classifier(x, self.classes)

    def _block(self, net: Net, x: str, width: int, stride: int) -> str:
        inputs = net.channels(x)
        y = net.conv_norm("spatial", x, inputs, self.kernel, stride, groups=inputs // self.group_width, act="")
        y = net.conv_norm("expand", y, self.expansion * inputs, act="silu")
        y = net.conv_norm("project", y, width, act="")
        return net.add("residual", y, x) if stride == 1 and width == inputs else y
