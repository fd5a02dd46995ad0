"""EfficientViT of Microsoft Research: cascaded group attention between two perceptrons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.transformer import attend
from perfsim.ops import FromBlocks, ToBlocks, ToMap, ToTokens

__all__ = ["CascadeVit"]


@dataclass(frozen=True, kw_only=True)
class CascadeVit(VisionModel):
    """Four strided convolutions, three stages of blocks: depthwise, perceptron, attention, depthwise, perceptron.

    Each attention head sees its own share of the channels, plus the output of the head before it.
    depths, widths, heads: per stage; kernels: of the depthwise convolution on the queries, by head; window: tokens per
    side that attend to each other; key_dim: width of queries and keys.

    References
    ----------
    .. [1] X. Liu et al., "EfficientViT: Memory Efficient Vision Transformer with Cascaded Group Attention",
       arXiv 2305.07027.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    heads: tuple[int, ...]
    kernels: tuple[int, ...]
    window: int = 7
    key_dim: int = 16

    fixed_size: ClassVar[bool] = True
    depth_fields: ClassVar[tuple[str, ...]] = ("depths",)

    def layers(self, net: Net, image: str) -> None:
        """Patches, stages with merges between them, head."""
        x = image
        for index, share in enumerate((8, 4, 2, 1)):
            x = net.conv_norm(f"patches.{index}", x, self.widths[0] // share, 3, 2, act="" if share == 1 else "relu")
        for stage, (depth, width, heads) in enumerate(zip(self.depths, self.widths, self.heads, strict=True)):
            if stage:
                x = self._merge(net, f"stages.{stage}.merge", x, width)
            with net.block(f"stages.{stage}.blocks", depth):
                x = self._local(net, "local0", x)
                x = net.add("attention.residual", self._windowed(net, x, heads), x)
                x = self._local(net, "local1", x)
        y = net.batch_norm("head.norm", net.global_pool("head.pool", x))
        net.linear("head", y, self.classes)

    def _local(self, net: Net, name: str, x: str) -> str:
        """Depthwise convolution and perceptron, each with a residual."""
        width = net.channels(x)
        y = net.conv_norm(f"{name}.depthwise", x, width, 3, groups=width, act="")
        x = net.add(f"{name}.depthwise.residual", y, x)
        y = net.conv_norm(f"{name}.project", net.conv_norm(f"{name}.expand", x, 2 * width), width, act="")
        return net.add(f"{name}.residual", y, x)

    def _merge(self, net: Net, name: str, x: str, width: int) -> str:
        """Half the size: an inverted residual with squeeze-and-excite between two local layers."""
        x = self._local(net, f"{name}.before", x)
        middle = 4 * net.channels(x)
        y = net.conv_norm(f"{name}.expand", x, middle)
        y = net.conv_norm(f"{name}.depthwise", y, middle, 3, 2, groups=middle)
        y = net.squeeze_excite(f"{name}.se", y, middle // 4)
        return self._local(net, f"{name}.after", net.conv_norm(f"{name}.project", y, width, act=""))

    def _windowed(self, net: Net, x: str, heads: int) -> str:
        """Attention inside windows; a map no larger than a window is one."""
        b, side, window = net.builder, net.side(x), self.window
        if side <= window:
            return self._cascade(net, x, heads)
        y = b.add(ToTokens, "attention.tokens", (x,))
        y = b.add(ToBlocks, "attention.to_windows", (y,), side=side, block=window)
        y = b.add(ToMap, "attention.windows", (y,), spatial=(window, window))
        y = b.add(ToTokens, "attention.out_tokens", (self._cascade(net, y, heads),), heads=1)
        out: str = b.add(FromBlocks, "attention.from_windows", (y, x), side=side)
        return out

    def _cascade(self, net: Net, x: str, heads: int) -> str:
        b, width, side = net.builder, net.channels(x), net.side(x)
        share, key = width // heads, self.key_dim
        parts = net.split("attention.split", x, (share,) * heads)
        results: list[str] = []
        for head, kernel in zip(range(heads), self.kernels, strict=False):
            name, y = f"attention.head{head}", parts[head]
            if results:
                y = net.combine(f"{name}.cascade", y, results[-1])
            y = net.conv_norm(f"{name}.qkv", y, 2 * key + share, act="")
            query, keys, values = net.split(f"{name}.split", y, (key, key, share))
            query = net.conv_norm(f"{name}.query", query, key, kernel, groups=key, act="")
            tokens = [
                b.add(ToTokens, f"{name}.{n}", (part,), heads=1)
                for n, part in (("q", query), ("k", keys), ("v", values))
            ]
            y = attend(net, (tokens[0], tokens[1], tokens[2]), (net.weight(f"{name}.positions", side, side),), name)
            results.append(b.add(ToMap, f"{name}.map", (y,), spatial=(side, side)))
        joined = net.act("attention.act", net.join("attention.join", *results), "relu")
        return net.conv_norm("attention.project", joined, width, act="")
