"""AFFNet: global mixing by a filter in the frequency domain that depends on the input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.ops import FourierTransform
from perfsim.ops.product import Contraction

__all__ = ["AffNet"]

BLOCKS = 8
"""Groups of channels that the filter's weights mix among themselves."""


@dataclass(frozen=True, kw_only=True)
class AffNet(VisionModel):
    """Inverted residuals, then three stages of one more and of blocks of inverted residual and frequency filter.

    widths: channels of the five stages; depths: inverted residuals of the first two stages, blocks of the others;
    expansion: of the inverted residuals outside of the blocks (2 inside).

    References
    ----------
    .. [1] Z. Huang et al., "Adaptive Frequency Filters As Efficient Global Token Mixers", arXiv 2307.14008.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...] = (1, 3, 2, 4, 3)
    expansion: int
    stem: int = 16
    image_size: int = 256

    width_fields: ClassVar[tuple[str, ...]] = ("widths",)
    depth_fields: ClassVar[tuple[str, ...]] = ("depths",)

    def layers(self, net: Net, image: str) -> None:
        """Stem, stages, head."""
        x = net.conv_norm("stem", image, self.stem, 3, 2)
        for stage, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True)):
            if stage < 2:
                for index in range(depth):
                    stride = 2 if stage and index == 0 else 1
                    x = _inverted(net, f"stages.{stage}.{index}", x, width, stride, self.expansion)
            else:
                x = _inverted(net, f"stages.{stage}.reduce", x, width, 2, self.expansion)
                x = self._mixing(net, f"stages.{stage}", x, depth)
        features = min(4 * self.widths[-1], 960)
        net.classifier(net.conv_norm("features", x, features), self.classes)

    @staticmethod
    def _mixing(net: Net, name: str, x: str, depth: int) -> str:
        width, y = net.channels(x), x
        with net.block(f"{name}.blocks", depth):
            inner = _inverted(net, "mlp", net.layer_norm("norm1", y), width, 1, 2)
            y = net.add("residual", _filtered(net, net.layer_norm("norm2", inner)), y)
        y = net.conv_norm(f"{name}.project", net.layer_norm(f"{name}.norm", y), width, act="")
        return net.conv_norm(f"{name}.fuse", net.join(f"{name}.join", x, y), width)


def _inverted(net: Net, name: str, x: str, out: int, stride: int, expansion: int) -> str:
    inputs = net.channels(x)
    middle = inputs * expansion
    y = net.conv_norm(f"{name}.expand", x, middle)
    y = net.conv_norm(f"{name}.depthwise", y, middle, 3, stride, groups=middle)
    y = net.conv_norm(f"{name}.project", y, out, act="")
    return net.add(f"{name}.residual", y, x) if stride == 1 and inputs == out else y


def _filtered(net: Net, x: str) -> str:
    """Spectrum, two complex projections inside groups of channels, product with the spectrum, way back, residual."""
    b, width, sides = net.builder, net.channels(x), net.builder.shape(x)[2:]
    spectrum = b.add(FourierTransform, "filter.forward", (x,), axes=2)
    group, shape, y = width // BLOCKS, b.shape(spectrum), spectrum
    rows = shape[0] * math.prod(shape[2:4])
    for index in (1, 2):
        weights = (
            net.weight(f"filter.mix{index}.weight", 2, BLOCKS, group, group),
            net.weight(f"filter.mix{index}.bias", 2, width),
        )
        y = b.add(
            Contraction, f"filter.mix{index}", (y, *weights), shapes=(shape,), batch=BLOCKS, m=rows, n=2 * group,
            k=2 * group,
        )  # fmt: skip
        y = net.act(f"filter.mix{index}.act", y, "relu" if index == 1 else "softshrink")
    y = net.combine("filter.apply", y, spectrum, "complex-multiply")
    y = b.add(FourierTransform, "filter.backward", (y,), axes=2, sizes=tuple(sides))
    return net.add("filter.residual", y, x)
