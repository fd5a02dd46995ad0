"""Swin transformers: attention inside shifted windows, four stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.scaling import scaled_number
from perfsim.architectures.vision.transformer import attention, mlp
from perfsim.ops import FromWindows, MergeNeighbours, ToWindows
from perfsim.quantities.numbers import Number, ceil_div

__all__ = ["Swin"]


@dataclass(frozen=True, kw_only=True)
class Swin(VisionModel):
    """Patches, stages of windowed attention with a table of relative positions, and 2×2 merging between them.

    patch; hidden: width of the first stage, doubled by each merge; depths, heads: per stage; window: tokens per side;
    mlp_ratio.

    References
    ----------
    .. [1] Z. Liu et al., arXiv 2103.14030.
    """

    patch: int = 4
    hidden: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int = 7
    mlp_ratio: float = 4.0

    depth_fields: ClassVar[tuple[str, ...]] = ("depths",)

    def _wider(self, factor: float) -> dict[str, Any]:
        """More heads of the same width, as the published sizes differ."""
        first = scaled_number(self.heads[0], factor)
        heads = tuple(first * count // self.heads[0] for count in self.heads)
        return {"heads": heads, "hidden": self.hidden // self.heads[0] * first}

    def layers(self, net: Net, image: str) -> None:
        """Patches, stages, head. Shifting costs no product: it is part of the copy into windows."""
        b = net.builder
        x = net.conv("patches", image, self.hidden, self.patch, self.patch, padding=0, bias=True, tokens=True)
        x = net.layer_norm("patches.norm", x)
        side: Number = ceil_div(net.step.image_size, self.patch)
        for stage, (depth, heads) in enumerate(zip(self.depths, self.heads, strict=True)):
            if stage:
                x = b.add(MergeNeighbours, f"layers.{stage}.merge", (x,), side=side)
                x = net.layer_norm(f"layers.{stage}.merge.norm", x)
                x = net.linear(f"layers.{stage}.reduce", x, net.channels(x) // 2, bias=False)
                side = ceil_div(side, 2)
            with net.block(f"layers.{stage}.blocks", depth):
                x = self._block(net, x, side, heads)
        net.classifier(net.layer_norm("norm", x), self.classes)

    def _block(self, net: Net, x: str, side: Number, heads: int) -> str:
        b, window = net.builder, self.window
        table = net.weight("attention.positions", (2 * window - 1) ** 2, heads)
        normed = net.layer_norm("attention.norm", x)
        y = b.add(ToWindows, "attention.to_windows", (normed,), side=side, window=window)
        y = attention(net, y, heads, tables=(table,))
        y = b.add(FromWindows, "attention.from_windows", (y, normed), side=side, window=window)
        x = net.add("attention.residual", y, x)
        y = mlp(net, net.layer_norm("mlp.norm", x), int(net.channels(x) * self.mlp_ratio))
        return net.add("mlp.residual", y, x)
