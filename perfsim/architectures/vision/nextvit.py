"""Next-ViT: convolutional attention in most blocks, reduced self-attention in the last one of a group."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.rounding import round_channels
from perfsim.architectures.vision.transformer import attend
from perfsim.ops import Linear, Pool, ToMap, ToTokens

__all__ = ["NextVit"]

_WIDTHS = ((96, 96), (192, 256), (384, 512), (768, 1024))
"""Channels of convolution and of transformer blocks per stage, the same in every published network."""
_GROUP = 5
"""Blocks of the third stage that end in one transformer block."""


@dataclass(frozen=True, kw_only=True)
class NextVit(VisionModel):
    """Stem, four stages; stages 2 and 4 end in a transformer block, stage 3 has one in five.

    depths: blocks per stage, that of the third a multiple of five; head_dim: channels per group of the convolutions
    and per attention head; mix: share of a transformer block's channels that self-attention makes, the rest is made by
    a convolution; reductions: by how much keys and values are pooled along each side, per stage.

    References
    ----------
    .. [1] J. Li et al., "Next-ViT", arXiv 2207.05501.
    """

    depths: tuple[int, ...]
    head_dim: int = 32
    mix: float = 0.75
    reductions: tuple[int, ...] = (8, 4, 2, 1)

    def layers(self, net: Net, image: str) -> None:
        """Stem, stages, norm, classifier."""
        x = image
        for index, (width, stride) in enumerate(((64, 2), (32, 1), (64, 1), (64, 2))):
            x = net.conv_norm(f"stem.{index}", x, width, 3, stride)
        for stage, depth in enumerate(self.depths):
            x = self._stage(net, stage, x, depth)
        net.classifier(net.batch_norm("norm", x), self.classes)

    def _stage(self, net: Net, stage: int, x: str, depth: int) -> str:
        conv, mixed = _WIDTHS[stage]
        length = _GROUP if stage == 2 else depth
        for group in range(depth // length):
            name, convs = f"stages.{stage}.{group}", length - (stage > 0)
            with net.block(f"{name}.first"):
                x = self._conv_block(net, x, conv, 2 if stage and group == 0 else 1)
            if convs > 1:
                with net.block(f"{name}.conv", convs - 1):
                    x = self._conv_block(net, x, conv, 1)
            if stage:
                with net.block(f"{name}.transformer"):
                    x = self._transformer_block(net, x, mixed, self.reductions[stage])
        return x

    @staticmethod
    def _embed(net: Net, name: str, x: str, width: int, stride: int = 1) -> str:
        """To ``width`` channels, pooled before if strided; nothing if neither changes."""
        if stride > 1:
            x = net.pool(f"{name}.pool", x, 2, stride, function="mean", ceil_mode=True)
        return net.conv_norm(name, x, width, act="") if stride > 1 or net.channels(x) != width else x

    def _conv_attention(self, net: Net, name: str, x: str) -> str:
        """Grouped 3×3 convolution and a projection, added to ``x``."""
        width = net.channels(x)
        y = net.conv_norm(f"{name}.groups", x, width, 3, groups=width // self.head_dim)
        return net.add(f"{name}.residual", net.conv(f"{name}.project", y, width), x)

    @staticmethod
    def _mlp(net: Net, normed: str, x: str, ratio: int) -> str:
        width = net.channels(x)
        y = net.act("mlp.act", net.conv("mlp.expand", normed, ratio * width, bias=True), "relu")
        return net.add("mlp.residual", net.conv("mlp.project", y, width, bias=True), x)

    def _conv_block(self, net: Net, x: str, width: int, stride: int) -> str:
        x = self._conv_attention(net, "conv", self._embed(net, "embed", x, width, stride))
        return self._mlp(net, net.batch_norm("norm", x), x, 3)

    def _transformer_block(self, net: Net, x: str, width: int, reduction: int) -> str:
        attended = round_channels(int(width * self.mix), 32)
        x = self._embed(net, "embed", x, attended)
        x = net.add("attention.residual", self._attention(net, net.batch_norm("norm1", x), reduction), x)
        y = self._conv_attention(net, "conv", self._embed(net, "split", x, width - attended))
        x = net.join("join", x, y)
        return self._mlp(net, net.batch_norm("norm2", x), x, 2)

    def _attention(self, net: Net, x: str, reduction: int) -> str:
        b, width, side = net.builder, net.channels(x), net.side(x)
        tokens = b.add(ToTokens, "attention.tokens", (x,))
        fewer = tokens
        if reduction > 1:
            row = b.add(ToMap, "attention.row", (tokens,), spatial=(side * side,))
            count = reduction**2
            row = b.add(
                Pool, "attention.pool", (row,), function="mean", kernel=(count,), stride=(count,), padding=(0,)
            )  # fmt: skip
            fewer = net.batch_norm("attention.norm", b.add(ToTokens, "attention.fewer", (row,)))
        qkv = [self._project(net, part, source) for part, source in (("q", tokens), ("k", fewer), ("v", fewer))]
        y = attend(net, (qkv[0], qkv[1], qkv[2]))
        weight = net.weight("attention.output.weight", width // self.head_dim, self.head_dim, width)
        y = b.add(Linear, "attention.output", (y, weight), contracted=2)
        y = net.combine("attention.output_bias", y, net.weight("attention.output.bias", width), "bias")
        out: str = b.add(ToMap, "attention.map", (y,), spatial=(side, side))
        return out

    def _project(self, net: Net, part: str, x: str) -> str:
        width = net.channels(x)
        shape = (width // self.head_dim, self.head_dim)
        y = net.builder.add(Linear, f"attention.{part}", (x, net.weight(f"attention.{part}.weight", width, *shape)))
        return net.combine(f"attention.{part}_bias", y, net.weight(f"attention.{part}.bias", *shape), "bias")
