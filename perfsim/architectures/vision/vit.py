"""Vision transformers: ViT, DeiT, DeiT III."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.scaling import scaled_number
from perfsim.architectures.vision.transformer import attention, mlp
from perfsim.ops import Join, Select

__all__ = ["VisionTransformer"]


@dataclass(frozen=True, kw_only=True)
class VisionTransformer(VisionModel):
    """Patches as tokens, equal layers of attention and perceptron, the first token classifies.

    patch: pixels per side; hidden: width; depth: layers; heads; mlp_ratio: hidden width over width; extra_tokens: class
    token, and distillation token if two (each with a head of its own); positions_for_extra: learned positions of the
    extra tokens, too; layer_scale: branches are scaled by a learned vector; pre_norm: a norm in front of the layers;
    qkv_bias.

    References
    ----------
    .. [1] A. Dosovitskiy et al., arXiv 2010.11929. [2] H. Touvron et al., arXiv 2012.12877, 2204.07118.
    """

    patch: int = 16
    hidden: int
    depth: int = 12
    heads: int
    mlp_ratio: float = 4.0
    extra_tokens: int = 1
    positions_for_extra: bool = True
    layer_scale: bool = False
    pre_norm: bool = False
    qkv_bias: bool = True

    depth_fields: ClassVar[tuple[str, ...]] = ("depth",)

    def _wider(self, factor: float) -> dict[str, Any]:
        """More heads of the same width, as the published sizes differ."""
        heads = scaled_number(self.heads, factor)
        return {"heads": heads, "hidden": self.hidden // self.heads * heads}

    def layers(self, net: Net, image: str) -> None:
        """Patches, tokens, layers, heads."""
        b = net.builder
        bias = not self.pre_norm
        x = net.conv("patches", image, self.hidden, self.patch, self.patch, padding=0, bias=bias, tokens=True)
        if self.positions_for_extra:
            x = self._with_positions(net, self._with_extra(net, x))
        else:
            x = self._with_extra(net, self._with_positions(net, x))
        if self.pre_norm:
            x = net.layer_norm("pre_norm", x)
        with net.block("blocks", self.depth):
            y = attention(net, net.layer_norm("attention.norm", x), self.heads, bias=self.qkv_bias)
            x = net.add("attention.residual", self._scaled(net, "attention", y), x)
            y = mlp(net, net.layer_norm("mlp.norm", x), int(self.hidden * self.mlp_ratio))
            x = net.add("mlp.residual", self._scaled(net, "mlp", y), x)
        x = net.layer_norm("norm", x)
        for index in range(self.extra_tokens):
            name = "head" if index == 0 else f"head.{index}"
            net.linear(name, b.add(Select, f"{name}.token", (x,)), self.classes)

    def _with_extra(self, net: Net, x: str) -> str:
        tokens = net.builder.weight("extra_tokens", (1, self.extra_tokens, self.hidden), net.step.weight_dtype)
        y: str = net.builder.add(Join, "tokens", (x, tokens))
        return y

    def _with_positions(self, net: Net, x: str) -> str:
        places = net.builder.weight("positions", (net.builder.shape(x)[1], self.hidden), net.step.weight_dtype)
        return net.combine("positions.add", x, places)

    def _scaled(self, net: Net, name: str, y: str) -> str:
        if not self.layer_scale:
            return y
        return net.combine(f"{name}.layer_scale", y, net.weight(f"{name}.layer_scale.weight", self.hidden), "scale")
