"""MobileViT: inverted residuals, and blocks in which equal places of all patches attend to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.rounding import round_channels
from perfsim.architectures.vision.transformer import attention, mlp
from perfsim.errors import InputError
from perfsim.ops import ContextSum, GroupNorm, Rearrange, Softmax

__all__ = ["MobileVit", "MobileVitV2"]

_PATCH = 2
"""Pixels per side of a patch in every published network."""


@dataclass(frozen=True, kw_only=True)
class MobileVit(VisionModel):
    """Stem, five stages of inverted residuals; the last three end in a block of ``transformer_depths`` layers.

    widths, depths: channels and inverted residuals per stage; expansion: of an inverted residual; transformer_widths,
    transformer_depths: of the last three stages; stem; features: channels of the last 1×1 convolution, 0 for none.

    References
    ----------
    .. [1] S. Mehta, M. Rastegari, "MobileViT", arXiv 2110.02178.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    transformer_widths: tuple[int, ...]
    transformer_depths: tuple[int, ...] = (2, 4, 3)
    expansion: float = 4.0
    stem: int = 16
    features: int = 0
    image_size: int = 256

    width_fields: ClassVar[tuple[str, ...]] = ("widths", "transformer_widths", "stem")
    depth_fields: ClassVar[tuple[str, ...]] = ("depths", "transformer_depths")
    heads: ClassVar[int] = 4

    def layers(self, net: Net, image: str) -> None:
        """Stem, stages, classifier."""
        x = net.conv_norm("stem", image, self.stem, 3, 2, act="silu")
        for stage, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
            for index in range(depth):
                with net.block(f"stages.{stage}.{index}"):
                    x = self._inverted(net, x, width, 2 if stage and index == 0 else 1)
            if stage >= 2:
                x = self._patches(net, f"stages.{stage}", x, stage - 2)
        if self.features:
            x = net.conv_norm("final", x, self.features, act="silu")
        net.classifier(x, self.classes)

    def _inverted(self, net: Net, x: str, width: int, stride: int) -> str:
        middle = round_channels(net.channels(x) * self.expansion)
        y = net.conv_norm("expand", x, middle, act="silu")
        y = net.conv_norm("depthwise", y, middle, 3, stride, groups=middle, act="silu")
        y = net.conv_norm("project", y, width, act="")
        return net.add("residual", y, x) if stride == 1 and net.channels(x) == width else y

    def _patches(self, net: Net, name: str, x: str, index: int) -> str:
        """Local convolutions, layers over the patches, and a convolution of their result beside the block's input."""
        width, inner, side = net.channels(x), self.transformer_widths[index], self._side(net, x)
        y = net.conv(f"{name}.in", net.conv_norm(f"{name}.local", x, width, 3, act="silu"), inner)
        batch, places = net.step.batch, (side // _PATCH) ** 2
        y = net.builder.add(Rearrange, f"{name}.unfold", (y,), shape=(batch * _PATCH**2, places, inner))
        with net.block(f"{name}.layers", self.transformer_depths[index]):
            y = net.add("attention.residual", attention(net, net.layer_norm("attention.norm", y), self.heads), y)
            y = net.add("mlp.residual", mlp(net, net.layer_norm("mlp.norm", y), 2 * inner, "silu"), y)
        y = net.layer_norm(f"{name}.norm", y)
        y = net.builder.add(Rearrange, f"{name}.fold", (y,), shape=(batch, inner, side, side))
        y = net.join(f"{name}.join", x, net.conv_norm(f"{name}.out", y, width, act="silu"))
        return net.conv_norm(f"{name}.fusion", y, width, 3, act="silu")

    @staticmethod
    def _side(net: Net, x: str) -> int:
        side = net.side(x)
        if side % _PATCH:
            raise InputError(f"a map of {side} × {side} has no whole patches; use an image size that leaves even sides")
        return int(side)


@dataclass(frozen=True, kw_only=True)
class MobileVitV2(MobileVit):
    """The second version: attention with one number per query, half the width inside, nothing joined.

    References
    ----------
    .. [1] S. Mehta, M. Rastegari, "Separable Self-attention for Mobile Vision Transformers", arXiv 2206.02680.
    """

    expansion: float = 2.0

    def _patches(self, net: Net, name: str, x: str, index: int) -> str:
        width, inner, side = net.channels(x), self.transformer_widths[index], self._side(net, x)
        y = net.conv(f"{name}.in", net.conv_norm(f"{name}.local", x, width, 3, groups=width, act="silu"), inner)
        batch, places = net.step.batch, (side // _PATCH) ** 2
        y = net.builder.add(Rearrange, f"{name}.unfold", (y,), shape=(batch, inner, _PATCH**2, places))
        with net.block(f"{name}.layers", self.transformer_depths[index]):
            y = net.add("attention.residual", self._separable(net, self._normed(net, "attention.norm", y)), y)
            z = net.conv("mlp.expand", self._normed(net, "mlp.norm", y), 2 * inner, bias=True)
            z = net.conv("mlp.project", net.act("mlp.act", z, "silu"), inner, bias=True)
            y = net.add("mlp.residual", z, y)
        y = self._normed(net, f"{name}.norm", y)
        y = net.builder.add(Rearrange, f"{name}.fold", (y,), shape=(batch, inner, side, side))
        return net.conv_norm(f"{name}.out", y, width, act="")

    @staticmethod
    def _normed(net: Net, name: str, x: str) -> str:
        width = net.channels(x)
        inputs = (x, net.weight(f"{name}.weight", width), net.weight(f"{name}.bias", width))
        y: str = net.builder.add(GroupNorm, name, inputs, groups=1)
        return y

    @staticmethod
    def _separable(net: Net, x: str) -> str:
        """Scores of one number per place, one context vector, and values scaled by it."""
        width = net.channels(x)
        parts = net.split("attention.split", net.conv("attention.qkv", x, 1 + 2 * width, bias=True), (1, width, width))
        scores = net.builder.add(Softmax, "attention.softmax", (parts[0],))
        context = net.builder.add(ContextSum, "attention.context", (parts[1], scores))
        y = net.combine("attention.multiply", net.act("attention.act", parts[2], "relu"), context, "multiply")
        return net.conv("attention.project", y, width, bias=True)
