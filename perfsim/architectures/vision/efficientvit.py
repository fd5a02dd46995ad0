"""EfficientViT of MIT: inverted residuals and multi-scale linear attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.scaling import scaled_fields, scaled_number
from perfsim.ops import KeyValueSum, LinearRead, Split, ToMap, ToTokens

__all__ = ["EfficientVit", "EfficientVitLarge"]


@dataclass(frozen=True, kw_only=True)
class EfficientVit(VisionModel):
    """Stem, two stages of inverted residuals, two stages in which each is preceded by ReLU-linear attention.

    depths, widths: blocks and channels of the stem and of the stages; head_dim: width of an attention head;
    head_widths: of the last convolution and of the projection behind the global mean; scale: size of the depthwise
    kernel that gives the second scale of queries, keys and values.

    References
    ----------
    .. [1] H. Cai et al., "EfficientViT: Multi-Scale Linear Attention for High-Resolution Dense Prediction",
       arXiv 2205.14756.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    head_dim: int
    head_widths: tuple[int, ...]
    scale: int = 5

    act: ClassVar[str] = "hardswish"
    expansion: ClassVar[int] = 4
    depth_fields: ClassVar[tuple[str, ...]] = ("depths",)

    def _wider(self, factor: float) -> dict[str, Any]:
        """Stages with attention keep whole heads."""
        multiples = (8, 8, 8, self.head_dim, self.head_dim)
        widths = tuple(scaled_number(w, factor, m) for w, m in zip(self.widths, multiples, strict=True))
        return {"widths": widths, **scaled_fields(self, ("head_widths",), factor, 8)}

    def layers(self, net: Net, image: str) -> None:
        """Stem, stages, head."""
        x = net.conv_norm("stem", image, self.widths[0], 3, 2, act=self.act)
        with net.block("stem.blocks", self.depths[0]):
            x = net.add("residual", self._stem_block(net, x), x)
        for stage, (depth, width) in enumerate(zip(self.depths[1:], self.widths[1:], strict=True)):
            x = self._stage(net, stage, x, depth, width)
        x = net.conv_norm("head.conv", x, self.head_widths[0], act=self.act)
        x = net.linear("head.wide", net.global_pool("head.pool", x), self.head_widths[1], bias=False)
        net.linear("head", net.act("head.act", net.layer_norm("head.norm", x), self.act), self.classes)

    def _stem_block(self, net: Net, x: str) -> str:
        width = net.channels(x)
        y = net.conv_norm("depthwise", x, width, 3, groups=width, act=self.act)
        return net.conv_norm("project", y, width, act="")

    def _stage(self, net: Net, stage: int, x: str, depth: int, width: int) -> str:
        attends = stage >= 2
        with net.block(f"stages.{stage}.downsample"):
            x = self._inverted(net, "local", x, width, self.expansion, stride=2, few_norms=attends)
        if attends:
            return self._attention_blocks(net, stage, x, depth, self.expansion)
        if depth > 1:
            with net.block(f"stages.{stage}.blocks", depth - 1):
                x = net.add("residual", self._inverted(net, "local", x, width, self.expansion), x)
        return x

    def _attention_blocks(self, net: Net, stage: int, x: str, depth: int, expansion: int) -> str:
        with net.block(f"stages.{stage}.blocks", depth):
            x = net.add("attention.residual", self._attention(net, x), x)
            y = self._inverted(net, "local", x, net.channels(x), expansion, few_norms=True)
            return net.add("residual", y, x)

    def _unit(self, net: Net, name: str, x: str, out: int, kernel: int = 1, stride: int = 1, *, groups: int = 1,
              norm: bool = True) -> str:  # fmt: skip
        """Convolution and activation, with a norm or with a bias instead."""
        if norm:
            return net.conv_norm(name, x, out, kernel, stride, groups=groups, act=self.act)
        return net.act(f"{name}.act", net.conv(name, x, out, kernel, stride, groups=groups, bias=True), self.act)

    def _inverted(self, net: Net, name: str, x: str, out: int, expansion: int, *, stride: int = 1,
                  few_norms: bool = False) -> str:  # fmt: skip
        """Inverted residual without its addition; with few norms only the last convolution has one."""
        middle = net.channels(x) * expansion
        y = self._unit(net, f"{name}.expand", x, middle, norm=not few_norms)
        y = self._unit(net, f"{name}.depthwise", y, middle, 3, stride, groups=middle, norm=not few_norms)
        return net.conv_norm(f"{name}.project", y, out, act="")

    def _attention(self, net: Net, x: str) -> str:
        """Queries, keys and values at two scales, one linear attention over all of them."""
        b, width, side = net.builder, net.channels(x), net.side(x)
        heads = width // self.head_dim
        qkv = net.conv("attention.qkv", x, 3 * width)
        wider = net.conv("attention.scale", qkv, 3 * width, self.scale, groups=3 * width)
        wider = net.conv("attention.scale.mix", wider, 3 * width, groups=3 * heads)
        joined = net.join("attention.scales", qkv, wider)
        tokens = b.add(ToTokens, "attention.tokens", (joined,), heads=2 * heads)
        parts = b.add(
            Split, "attention.split", (tokens,), outputs=("q", "k", "v"), sizes=(self.head_dim,) * 3, axis=3
        )  # fmt: skip
        query, key = (net.act(f"attention.{n}.act", part, "relu") for n, part in zip("qk", parts, strict=False))
        summed = b.add(KeyValueSum, "attention.sum", (key, parts[2]))
        read = b.add(LinearRead, "attention.read", (query, summed))
        y = b.add(ToMap, "attention.map", (read,), spatial=(side, side))
        return net.conv_norm("attention.project", y, width, act="")


@dataclass(frozen=True, kw_only=True)
class EfficientVitLarge(EfficientVit):
    """The L networks: dense 3×3 convolutions in the early stages, linear attention in the last stage only."""

    act: ClassVar[str] = "gelu"
    expansion: ClassVar[int] = 6

    def _stem_block(self, net: Net, x: str) -> str:
        width = net.channels(x)
        return net.conv_norm("conv2", net.conv_norm("conv1", x, width, 3, act=self.act), width, 3, act="")

    def _stage(self, net: Net, stage: int, x: str, depth: int, width: int) -> str:
        with net.block(f"stages.{stage}.downsample"):
            x = self._local(net, stage, x, width, 24 if stage == 3 else 16, 2)
        if stage == 3:
            return self._attention_blocks(net, stage, x, depth, self.expansion)
        with net.block(f"stages.{stage}.blocks", depth):
            return net.add("residual", self._local(net, stage, x, width, 4, 1), x)

    def _local(self, net: Net, stage: int, x: str, width: int, expansion: int, stride: int) -> str:
        """Fused inverted residual in the first two stages, an ordinary one behind them."""
        if stage >= 2:
            return self._inverted(net, "local", x, width, expansion, stride=stride, few_norms=True)
        y = self._unit(net, "local.expand", x, net.channels(x) * expansion, 3, stride)
        return net.conv_norm("local.project", y, width, act="")
