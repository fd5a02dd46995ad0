"""DenseNet: every layer reads all features before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net

__all__ = ["DenseNet"]


@dataclass(frozen=True, kw_only=True)
class DenseNet(VisionModel):
    """Blocks of layers that each add ``growth`` channels; transitions halve channels and size.

    growth; layers_per_block; initial: channels of the stem; bottleneck: channels of a layer's 1×1 over growth. The
    norm in front of a layer's 1×1 follows a concatenation, so it cannot be folded.

    References
    ----------
    .. [1] G. Huang et al., arXiv 1608.06993.
    """

    growth: int = 32
    layers_per_block: tuple[int, ...]
    initial: int = 64
    bottleneck: int = 4

    width_fields: ClassVar[tuple[str, ...]] = ("growth", "initial")
    depth_fields: ClassVar[tuple[str, ...]] = ("layers_per_block",)

    def layers(self, net: Net, image: str) -> None:
        """Stem, dense blocks with transitions, head."""
        x = net.pool("stem.pool", net.conv_norm("stem", image, self.initial, 7, 2), 3, 2, padding=1)
        for block, count in enumerate(self.layers_per_block, start=1):
            for layer in range(1, count + 1):
                x = self._layer(net, x, f"block{block}.layer{layer}")
            name = f"transition{block}"
            if block < len(self.layers_per_block):
                x = self._normalised(net, f"{name}.norm", x)
                x = net.conv(f"{name}.conv", x, net.channels(x) // 2)
                x = net.pool(f"{name}.pool", x, function="mean")
        net.classifier(self._normalised(net, "norm", x), self.classes)

    def _layer(self, net: Net, x: str, name: str) -> str:
        y = self._normalised(net, f"{name}.norm1", x)
        y = net.conv_norm(f"{name}.conv1", y, self.bottleneck * self.growth)
        return net.join(f"{name}.join", x, net.conv(f"{name}.conv2", y, self.growth, 3))

    @staticmethod
    def _normalised(net: Net, name: str, x: str) -> str:
        return net.act(f"{name}.act", net.batch_norm(name, x), "relu")
