"""SimpleNet: thirteen plain convolutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net

__all__ = ["SimpleNet"]


@dataclass(frozen=True, kw_only=True)
class SimpleNet(VisionModel):
    """Convolutions with batch norm, two maxima between them, the largest value of each channel, classifier.

    widths: channels, 0 for a 2×2 maximum; kernels, strides: per entry of widths (of a maximum only the stride is
    used); width: multiplier. All convolutions are padded by one on each side, 1×1 ones too.

    References
    ----------
    .. [1] S. H. Hasanpour et al., "Lets keep it simple", arXiv 1608.06037.
    """

    widths: tuple[int, ...] = (64, 128, 128, 128, 128, 128, 0, 256, 256, 256, 512, 0, 2048, 256, 256)
    kernels: tuple[int, ...] = (3, 3, 3, 3, 3, 3, 2, 3, 3, 3, 3, 2, 1, 1, 3)
    strides: tuple[int, ...]
    width: float = 1.0

    def _wider(self, factor: float) -> dict[str, Any]:
        return {"width": self.width * factor}

    def layers(self, net: Net, image: str) -> None:
        """Layers, head."""
        x = image
        for index, (width, kernel, stride) in enumerate(zip(self.widths, self.kernels, self.strides, strict=True)):
            if width:
                wide = round(width * self.width)
                x = net.conv_norm(f"conv{index}", x, wide, kernel, stride, padding=1, bias=True)
            else:
                x = net.pool(f"pool{index}", x, 2, stride)
        side = net.side(x)
        net.linear("head", net.pool("head.pool", x, side, side), self.classes, flatten=True)
