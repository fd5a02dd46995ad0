"""Small networks that steer nano-drones: PULP-Dronet and PULP-Frontnet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net

__all__ = ["DroneNet"]


@dataclass(frozen=True, kw_only=True)
class DroneNet(VisionModel):
    """A 5×5 convolution with stride 2, a pooling, three blocks that halve the map, and one projection of all of it.

    image_size: rows of the grey image; columns: of the image, 0 for a square one; width: channels of the first
    convolution and the first block, doubled in the second and again in the third; block: ``plain`` two 3×3
    convolutions, ``separable`` two pairs of depthwise and pointwise ones; bypass: a strided 1×1 convolution around
    each block; head_bias: whether the projection has a bias.

    References
    ----------
    .. [1] D. Palossi et al., "A 64-mW DNN-based visual navigation engine for autonomous nano-drones", IEEE IoT
       Journal 6(5), 2019. [2] D. Palossi et al., "Fully onboard AI-powered human-drone pose estimation", IEEE IoT
       Journal 9(3), 2022. [3] L. Lamberti et al., Tiny-PULP-Dronets, IEEE AICAS 2022.
    """

    image_size: int = 200
    columns: int = 0
    channels: int = 1
    classes: int = 2
    width: int = 32
    block: str = "plain"
    bypass: bool = False
    head_bias: bool = False

    fixed_size: ClassVar[bool] = True
    choices: ClassVar = (("block", ("plain", "separable")),)

    def given(self, net: Net) -> str:
        """The grey image, wider than high where it has its own number of columns."""
        return net.image(self.channels, (self.columns or self.image_size) / self.image_size)

    def layers(self, net: Net, image: str) -> None:
        """Stem, pooling, three blocks, projection."""
        x = net.conv_norm("stem", image, self.width, 5, 2, act="relu6")
        x = net.pool("pool", x)
        build = {"plain": self._plain, "separable": self._separable}[self.block]
        for index, times in enumerate((1, 2, 4)):
            with net.block(f"block{index}"):
                y = build(net, x, times * self.width)
                x = self._around(net, x, y) if self.bypass else y
        net.linear("head", x, self.classes, bias=self.head_bias, flatten=True)

    def _plain(self, net: Net, x: str, out: int) -> str:
        y = net.conv_norm("conv1", x, out, 3, 2, act="relu6")
        return net.conv_norm("conv2", y, out, 3, act="relu6")

    def _separable(self, net: Net, x: str, out: int) -> str:
        for index, stride in ((1, 2), (2, 1)):
            width = net.channels(x)
            x = net.conv_norm(f"depthwise{index}", x, width, 3, stride, groups=width, act="relu6")
            x = net.conv_norm(f"pointwise{index}", x, out, act="relu6")
        return x

    def _around(self, net: Net, x: str, y: str) -> str:
        other = net.conv_norm("bypass", x, net.channels(y), 1, 2, act="relu6")
        return net.combine("add", y, other)
