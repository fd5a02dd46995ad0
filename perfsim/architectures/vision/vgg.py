"""Plain stacks of convolutions: VGG and AlexNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net

__all__ = ["AlexNet", "Vgg"]


@dataclass(frozen=True, kw_only=True)
class Vgg(VisionModel):
    """Stages of 3×3 convolutions, each closed by a 2×2 maximum, then three projections as convolutions.

    convs_per_stage: convolutions; widths: channels; batch_norm: behind each convolution.

    References
    ----------
    .. [1] K. Simonyan, A. Zisserman, arXiv 1409.1556.
    """

    convs_per_stage: tuple[int, ...]
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    batch_norm: bool = False

    width_fields: ClassVar[tuple[str, ...]] = ("widths",)
    depth_fields: ClassVar[tuple[str, ...]] = ("convs_per_stage",)

    def layers(self, net: Net, image: str) -> None:
        """Stages; the first projection is a 7×7 convolution, so larger images are averaged at the end."""
        x = image
        for stage, (count, width) in enumerate(zip(self.convs_per_stage, self.widths, strict=True)):
            for index in range(count):
                name = f"stage{stage}.conv{index}"
                if self.batch_norm:
                    x = net.conv_norm(name, x, width, 3, bias=True)
                else:
                    x = net.act(f"{name}.act", net.conv(name, x, width, 3, bias=True), "relu")
            x = net.pool(f"stage{stage}.pool", x)
        x = net.act("fc1.act", net.conv("fc1", x, 4096, 7, padding=0, bias=True), "relu")
        x = net.act("fc2.act", net.conv("fc2", x, 4096, bias=True), "relu")
        net.classifier(x, self.classes)


@dataclass(frozen=True, kw_only=True)
class AlexNet(VisionModel):
    """Five convolutions and three projections, in the one-tower form; other image sizes change the first projection.

    References
    ----------
    .. [1] A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks", arXiv 1404.5997.
    """

    fixed_size: ClassVar[bool] = True

    def layers(self, net: Net, image: str) -> None:
        """Convolutions with three 3×3 maxima, then the projections."""
        x = self._conv(net, "conv1", image, 64, 11, 4, 2)
        x = self._conv(net, "conv2", net.pool("pool1", x, 3, 2), 192, 5, 1, 2)
        x = self._conv(net, "conv3", net.pool("pool2", x, 3, 2), 384, 3, 1, 1)
        x = self._conv(net, "conv4", x, 256, 3, 1, 1)
        x = self._conv(net, "conv5", x, 256, 3, 1, 1)
        x = net.pool("pool5", x, 3, 2)
        x = net.act("fc1.act", net.linear("fc1", x, 4096, flatten=True), "relu")
        x = net.act("fc2.act", net.linear("fc2", x, 4096), "relu")
        net.linear("head", x, self.classes)

    @staticmethod
    def _conv(net: Net, name: str, x: str, out: int, kernel: int, stride: int, padding: int) -> str:
        return net.act(f"{name}.act", net.conv(name, x, out, kernel, stride, padding=padding, bias=True), "relu")
