"""Networks for video clips with a residual trunk: C2D, I3D, Slow and SlowFast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.graph import Role

__all__ = ["SlowFast", "VideoResNet"]


@dataclass(frozen=True, kw_only=True)
class VideoResNet(VisionModel):
    """Bottlenecks whose first convolution may span frames, on clips of ``frames`` frames.

    frames: of a clip; layers_per_stage: blocks; stem_frames: that the first convolution spans; span: per stage the
    frames that the first convolution of each block spans, repeated along the stage (``31``: three, one, three, …);
    halved_after_first: whether pairs of frames are merged by their maximum behind the first stage; planes: channels
    inside the blocks of the first stage.

    References
    ----------
    .. [1] J. Carreira, A. Zisserman, "Quo Vadis, Action Recognition?", arXiv 1705.07750. [2] X. Wang et al.,
       arXiv 1711.07971. [3] C. Feichtenhofer et al., "SlowFast Networks for Video Recognition", arXiv 1812.03982.
    """

    frames: int
    layers_per_stage: tuple[int, ...] = (3, 4, 6, 3)
    stem_frames: int = 1
    span: tuple[str, ...] = ("1", "1", "3", "3")
    halved_after_first: bool = False
    planes: int = 64
    image_size: int = 256
    classes: int = 400

    depth_fields: ClassVar[tuple[str, ...]] = ("layers_per_stage",)

    def given(self, net: Net) -> str:
        """A batch of clips (batch, channels, frames, size, size)."""
        return self._clip(net, "clip", self.frames)

    def _clip(self, net: Net, name: str, frames: int) -> str:
        size = net.step.image_size
        shape = (net.step.batch, self.channels, frames, size, size)
        return net.builder.tensor(name, shape, net.step.dtype, Role.INPUT)

    def layers(self, net: Net, image: str) -> None:
        """Stem, stages, classifier of the mean over all frames."""
        x = self.stem(net, "stem", image, self.planes, self.stem_frames)
        for stage, span in enumerate(self.span):
            x = self.stage(net, f"stages.{stage}", x, stage, self.planes, span)
            if stage == 0 and self.halved_after_first:
                x = net.pool("halve", x, (2, 1, 1), (2, 1, 1))
        net.classifier(x, self.classes)

    @staticmethod
    def stem(net: Net, name: str, clip: str, width: int, frames: int) -> str:
        """One convolution of 7×7 pixels and ``frames`` frames, and a maximum over 3×3 pixels."""
        x = net.conv_norm(name, clip, width, (frames, 7, 7), (1, 2, 2))
        return net.pool(f"{name}.pool", x, (1, 3, 3), (1, 2, 2), padding=(0, 1, 1))

    def stage(self, net: Net, name: str, x: str, stage: int, planes: int, span: str) -> str:
        """The blocks of a stage of a pathway with ``planes`` channels in its first stage."""
        for index in range(self.layers_per_stage[stage]):
            frames, stride = int(span[index % len(span)]), 2 if stage and index == 0 else 1
            with net.block(f"{name}.{index}"):
                x = self._block(net, x, planes << stage, frames, stride)
        return x

    @staticmethod
    def _block(net: Net, x: str, planes: int, frames: int, stride: int) -> str:
        y = net.conv_norm("conv1", x, planes, (frames, 1, 1))
        y = net.conv_norm("conv2", y, planes, (1, 3, 3), (1, stride, stride))
        y = net.conv_norm("conv3", y, 4 * planes, act="")
        if net.channels(x) != 4 * planes or stride > 1:
            x = net.conv_norm("shortcut", x, 4 * planes, 1, (1, stride, stride), act="")
        return net.add("residual", y, x, "relu")


@dataclass(frozen=True, kw_only=True)
class SlowFast(VideoResNet):
    """Two pathways: few frames in many channels, and ``speed`` times the frames in an eighth of the channels.

    speed: frames of the fast pathway over ``frames``, those of the slow one; thinner: channels of the slow pathway
    over those of the fast one; fused_frames: that the convolutions from the fast to the slow pathway span.
    """

    speed: int = 4
    thinner: int = 8
    fused_frames: int = 7

    def given(self, net: Net) -> str:
        """The slow clip; :meth:`layers` adds the fast one."""
        return self._clip(net, "slow", self.frames)

    def layers(self, net: Net, image: str) -> None:
        """Both pathways, each stage of the slow one behind a join with the fast one, and a classifier of both means."""
        thin = self.planes // self.thinner
        fast = self.stem(net, "fast.stem", self._clip(net, "fast", self.frames * self.speed), thin, 5)
        slow = self.stem(net, "slow.stem", image, self.planes, self.stem_frames)
        for stage, span in enumerate(self.span):
            slow = self._fused(net, f"fusion.{stage}", slow, fast)
            slow = self.stage(net, f"slow.{stage}", slow, stage, self.planes, span)
            fast = self.stage(net, f"fast.{stage}", fast, stage, thin, "3")
        means = (net.global_pool(f"{name}.pool", x) for name, x in (("slow", slow), ("fast", fast)))
        net.linear("head", net.join("head.join", *means), self.classes)

    def _fused(self, net: Net, name: str, slow: str, fast: str) -> str:
        width = 2 * net.channels(fast)
        y = net.conv_norm(name, fast, width, (self.fused_frames, 1, 1), (self.speed, 1, 1))
        return net.join(f"{name}.join", slow, y)
