"""EfficientMod: features modulated by the context that a cheap convolution finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.transformer import attend, mlp
from perfsim.ops import Elementwise, Linear, ToMap, ToTokens

__all__ = ["EfficientMod"]


@dataclass(frozen=True, kw_only=True)
class EfficientMod(VisionModel):
    """Overlapping patches, four stages of modulation blocks with expansion 1 and ``expansion`` in turn, then attention.

    depths, widths: per stage; attention_depths: attention layers behind the blocks of a stage; attention_ratios: inner
    width of their perceptrons; kernel: of the context convolution.

    References
    ----------
    .. [1] X. Ma et al., "Efficient Modulation for Vision Networks", arXiv 2403.19963.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    expansion: int = 6
    attention_depths: tuple[int, ...] = (0, 0, 0, 0)
    attention_ratios: tuple[int, ...] = (4, 4, 4, 4)
    kernel: int = 7

    width_fields: ClassVar[tuple[str, ...]] = ("widths",)
    depth_fields: ClassVar[tuple[str, ...]] = ("depths",)

    def layers(self, net: Net, image: str) -> None:
        """Patches, stages, head."""
        x = image
        for stage, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True)):
            kernel, stride = (3, 2) if stage else (7, 4)
            x = net.conv(f"stages.{stage}.patches", x, width, kernel, stride, bias=True)
            x = net.layer_norm(f"stages.{stage}.patches.norm", x)
            for index in range(depth):
                with net.block(f"stages.{stage}.{index}"):
                    x = self._modulation(net, x, self.expansion if index % 2 else 1)
            layers = self.attention_depths[stage]
            if layers:
                with net.block(f"stages.{stage}.attention", layers):
                    x = self._attention(net, x, self.attention_ratios[stage])
        net.classifier(net.layer_norm("norm", x), self.classes)

    def _modulation(self, net: Net, x: str, expansion: int) -> str:
        width = net.channels(x)
        y = net.layer_norm("norm", x)
        context = net.conv("context.in", y, width, bias=True)
        context = net.conv("context.depthwise", context, width, self.kernel, groups=width, bias=True)
        context = net.conv("context.out", net.act("context.act", context, "gelu"), width, bias=True)
        y = net.conv("expand", y, expansion * width, bias=True)
        if expansion > 1:
            y = net.act("act", y, "gelu")
        y = net.conv("project", net.combine("modulate", y, context, "multiply"), width, bias=True)
        y = net.combine("layer_scale", y, net.weight("layer_scale.weight", width), "scale")
        return net.add("residual", y, x)

    @staticmethod
    def _attention(net: Net, x: str, ratio: int) -> str:
        """Eight heads of at least 32 channels, and a perceptron."""
        b, width, spatial = net.builder, net.channels(x), net.builder.shape(x)[2:]
        heads, dim = 8, max(width // 8, 32)
        x = b.add(ToTokens, "attention.tokens", (x,))
        y = net.layer_norm("attention.norm", x)
        weights = tuple(net.weight(f"attention.{part}.weight", width, heads, dim) for part in ("q", "k", "v"))
        qkv = b.add(Linear, "attention.qkv", (y, *weights), outputs=("q", "k", "v"))
        weight = net.weight("attention.output.weight", heads, dim, width)
        y = b.add(Linear, "attention.output", (attend(net, qkv), weight), contracted=2)
        bias = net.weight("attention.output.bias", width)
        y = b.add(Elementwise, "attention.output_bias", (y, bias), function="bias")
        x = net.add("attention.residual", y, x)
        x = net.add("mlp.residual", mlp(net, net.layer_norm("mlp.norm", x), ratio * width), x)
        made: str = b.add(ToMap, "attention.map", (x,), spatial=spatial)
        return made
