"""U-Net: a path down, a path up, and joins between them at every size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.errors import InputError
from perfsim.ops import TransposedConv

__all__ = ["Unet"]


@dataclass(frozen=True, kw_only=True)
class Unet(VisionModel):
    """Pairs of padded 3×3 convolutions with batch norm; maxima on the way down, transposed convolutions on the way up.

    widths: channels of the levels, the last one at the bottom; aspect: width of an image over its height; classes: per
    pixel. Sides are multiples of 2^(levels − 1), so that both paths meet.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer, T. Brox, "U-Net", arXiv 1505.04597 (there without padding and without norms).
    """

    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    aspect: float = 1.0
    image_size: int = 512
    classes: int = 2

    width_fields: ClassVar[tuple[str, ...]] = ("widths",)

    def given(self, net: Net) -> str:
        """Images (batch, channels, size, size · aspect)."""
        return net.image(self.channels, self.aspect)

    def layers(self, net: Net, image: str) -> None:
        """Down, up, and a class for every pixel."""
        multiple = 2 ** (len(self.widths) - 1)
        for side in net.builder.shape(image)[2:]:
            if isinstance(side, int) and side % multiple:
                raise InputError(f"a side of {side} pixels: expected a multiple of {multiple}, so that both paths meet")
        skips: list[str] = []
        x = image
        for level, width in enumerate(self.widths):
            x = self._pair(net, f"down.{level}", net.pool(f"down.{level}.pool", x) if level else x, width)
            skips.append(x)
        for level, width in reversed(list(enumerate(self.widths[:-1]))):
            x = self._up(net, f"up.{level}.transposed", x, width)
            x = self._pair(net, f"up.{level}", net.join(f"up.{level}.join", skips[level], x), width)
        net.conv("head", x, self.classes, bias=True)

    @staticmethod
    def _pair(net: Net, name: str, x: str, width: int) -> str:
        return net.conv_norm(f"{name}.conv2", net.conv_norm(f"{name}.conv1", x, width, 3), width, 3)

    @staticmethod
    def _up(net: Net, name: str, x: str, width: int) -> str:
        """A 2×2 transposed convolution, which doubles the size."""
        weights = (net.weight(f"{name}.weight", 1, width, net.channels(x), 2, 2), net.weight(f"{name}.bias", width))
        y: str = net.builder.add(TransposedConv, name, (x, *weights), stride=(2, 2))
        return y
