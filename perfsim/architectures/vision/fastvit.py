"""FastViT: mixing by reparametrised depthwise convolutions, attention in the last stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.reparam import large_kernel, mobile_one
from perfsim.architectures.vision.rounding import round_channels
from perfsim.architectures.vision.transformer import attention
from perfsim.ops import ToMap, ToTokens

__all__ = ["FastViT"]


@dataclass(frozen=True, kw_only=True)
class FastViT(VisionModel):
    """Stem, stages of mixer and convolutional perceptron, a last depthwise block, classifier.

    depths, widths: per stage; mlp_ratio; attention_stages: how many last stages attend (in heads of 32 channels,
    behind a 7×7 positional convolution); squeezed_stages: how many last downsamplings have a squeeze-and-excite;
    downsample_act: whether they have an activation; layer_norm: in front of attention, instead of a batch norm;
    stem_scale: 1×1 branches in the stem; merged: as deployed, branches and residual mixers as one convolution each.

    References
    ----------
    .. [1] P. Vasu et al., "FastViT", arXiv 2303.14189. [2] P. Vasu et al., "FastVLM" (FastViTHD), arXiv 2412.13303.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    mlp_ratio: float = 4.0
    attention_stages: int = 0
    squeezed_stages: int = 0
    downsample_act: bool = False
    layer_norm: bool = False
    stem_scale: bool = True
    merged: bool = False
    image_size: int = 256

    width_fields: ClassVar[tuple[str, ...]] = ("widths",)
    depth_fields: ClassVar[tuple[str, ...]] = ("depths",)
    width_multiple: ClassVar[int] = 32

    def layers(self, net: Net, image: str) -> None:
        """Stem, stages, head."""
        x, stages = self._stem(net, image), len(self.depths)
        for stage, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True)):
            if stage:
                squeeze = stage >= stages - self.squeezed_stages
                x = self._downsample(net, f"stages.{stage}.downsample", x, width, squeeze)
            attends = stage >= stages - self.attention_stages
            if attends:
                y = net.conv(f"stages.{stage}.positions", x, width, 7, groups=width, bias=True)
                x = y if self.merged else net.add(f"stages.{stage}.positions.residual", y, x)
            with net.block(f"stages.{stage}.blocks", depth):
                x = self._feed(net, self._attend(net, x) if attends else self._mix(net, x))
        width = 2 * self.widths[-1]
        squeezed = round_channels(width / 16, 1, 0.0)
        x = mobile_one(net, "final", x, width, 3, groups=self.widths[-1], squeezed=squeezed, merged=self.merged)
        net.classifier(x, self.classes)

    def _stem(self, net: Net, x: str) -> str:
        width = self.widths[0]
        for index, (kernel, stride, groups) in enumerate(((3, 2, 1), (3, 2, width), (1, 1, 1))):
            x = mobile_one(
                net, f"stem.{index}", x, width, kernel, stride, groups=groups, scale=self.stem_scale, merged=self.merged
            )
        return x

    def _downsample(self, net: Net, name: str, x: str, width: int, squeeze: bool) -> str:
        squeezed = round_channels(width * 0.25, 8, 0.0) if squeeze else 0
        x = large_kernel(
            net, f"{name}.large", x, width, 7, 3, 2, groups=net.channels(x), squeezed=squeezed,
            act="gelu" if self.downsample_act else "", merged=self.merged,
        )  # fmt: skip
        return mobile_one(net, f"{name}.point", x, width, 1, merged=self.merged)

    def _mix(self, net: Net, x: str) -> str:
        width = net.channels(x)
        if self.merged:
            return net.conv("mixer", x, width, 3, groups=width, bias=True)
        y = mobile_one(net, "mixer", x, width, 3, groups=width, act="")
        y = net.combine("mixer.subtract", y, net.batch_norm("mixer.norm", x))
        return net.add("mixer.residual", self._scaled(net, "mixer", y), x)

    def _attend(self, net: Net, x: str) -> str:
        width = net.channels(x)
        y = net.layer_norm("attention.norm", x) if self.layer_norm else net.batch_norm("attention.norm", x)
        y = attention(net, net.builder.add(ToTokens, "attention.tokens", (y,)), width // 32, bias=False)
        y = net.builder.add(ToMap, "attention.map", (y,), spatial=net.builder.shape(x)[2:])
        return net.add("attention.residual", self._scaled(net, "attention", y), x)

    def _feed(self, net: Net, x: str) -> str:
        width = net.channels(x)
        y = net.conv_norm("mlp.depthwise", x, width, 7, groups=width, act="")
        y = net.act("mlp.act", net.conv("mlp.expand", y, int(width * self.mlp_ratio), bias=True), "gelu")
        y = net.conv("mlp.project", y, width, bias=True)
        return net.add("mlp.residual", self._scaled(net, "mlp", y), x)

    @staticmethod
    def _scaled(net: Net, name: str, y: str) -> str:
        return net.combine(f"{name}.layer_scale", y, net.weight(f"{name}.layer_scale.weight", net.channels(y)), "scale")
