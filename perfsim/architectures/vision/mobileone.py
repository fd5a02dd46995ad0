"""MobileOne: MobileNet's pairs of convolutions, trained with parallel branches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.reparam import mobile_one
from perfsim.architectures.vision.rounding import round_channels

__all__ = ["MobileOne"]


@dataclass(frozen=True, kw_only=True)
class MobileOne(VisionModel):
    """Stem, stages of a depthwise 3×3 and a 1×1 block each, classifier.

    stem: channels; widths, depths: of each stage; branches: parallel convolutions per block; squeezed_blocks: last
    blocks of each stage that have a squeeze-and-excite (to a sixteenth); merged: as deployed, without branches.

    References
    ----------
    .. [1] P. Vasu et al., arXiv 2206.04040.
    """

    stem: int
    widths: tuple[int, ...]
    depths: tuple[int, ...] = (2, 8, 10, 1)
    branches: int = 1
    squeezed_blocks: tuple[int, ...] = (0, 0, 0, 0)
    merged: bool = False

    width_fields: ClassVar[tuple[str, ...]] = ("stem", "widths")
    depth_fields: ClassVar[tuple[str, ...]] = ("depths",)

    def layers(self, net: Net, image: str) -> None:
        """Stem, stages, classifier."""
        x = mobile_one(net, "stem", image, self.stem, 3, 2, act="relu", merged=self.merged)
        for stage, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
            plain = depth - self.squeezed_blocks[stage]
            for index in range(depth):
                with net.block(f"stages.{stage}.{index}"):
                    x = self._pair(net, x, width, 2 if index == 0 else 1, index >= plain)
        net.classifier(x, self.classes)

    def _pair(self, net: Net, x: str, width: int, stride: int, squeeze: bool) -> str:
        inputs = net.channels(x)
        fields = {"act": "relu", "branches": self.branches, "merged": self.merged}
        first, second = (round_channels(n / 16, 8, 0.0) if squeeze else 0 for n in (inputs, width))
        y = mobile_one(net, "depthwise", x, inputs, 3, stride, groups=inputs, squeezed=first, **fields)  # type: ignore[arg-type]
        return mobile_one(net, "pointwise", y, width, 1, squeezed=second, **fields)  # type: ignore[arg-type]
