"""ConvNeXt v1 and v2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.ops import ResponseNorm

__all__ = ["ConvNext"]


@dataclass(frozen=True, kw_only=True)
class ConvNext(VisionModel):
    """Stages of 7×7 depthwise convolution, layer norm, expansion by 4 with GELU, projection, residual.

    depths, widths: blocks and channels per stage; patch: size of the stem's patches; version: 1 scales each layer's
    output by a learned vector, 2 normalises the expanded channels by their global response instead.

    References
    ----------
    .. [1] Z. Liu et al., "A ConvNet for the 2020s", arXiv 2201.03545. [2] S. Woo et al., arXiv 2301.00808.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    patch: int = 4
    version: int = 1

    width_fields: ClassVar[tuple[str, ...]] = ("widths",)
    depth_fields: ClassVar[tuple[str, ...]] = ("depths",)

    def layers(self, net: Net, image: str) -> None:
        """Patches, stages with a 2×2 convolution between them, head."""
        x = net.conv("stem", image, self.widths[0], self.patch, self.patch, padding=0, bias=True)
        x = net.layer_norm("stem.norm", x)
        for stage, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True)):
            if stage:
                x = net.layer_norm(f"stages.{stage}.downsample.norm", x)
                x = net.conv(f"stages.{stage}.downsample", x, width, 2, 2, padding=0, bias=True)
            with net.block(f"stages.{stage}.blocks", depth):
                x = self._block(net, x)
        x = net.layer_norm("head.norm", net.global_pool("head.pool", x))
        net.linear("head", x, self.classes)

    def _block(self, net: Net, x: str) -> str:
        width = net.channels(x)
        y = net.layer_norm("norm", net.conv("depthwise", x, width, 7, groups=width, bias=True))
        y = net.act("mlp.act", net.conv("mlp.expand", y, 4 * width, bias=True), "gelu")
        if self.version == 2:
            inputs = (y, net.weight("response_norm.weight", 4 * width), net.weight("response_norm.bias", 4 * width))
            y = net.builder.add(ResponseNorm, "response_norm", inputs)
        y = net.conv("mlp.project", y, width, bias=True)
        if self.version == 1:
            y = net.combine("layer_scale", y, net.weight("layer_scale.weight", width), "scale")
        return net.add("residual", y, x)
