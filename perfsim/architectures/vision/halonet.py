"""HaloNet: residual bottlenecks in which local attention with a halo takes the place of the 3×3 convolution."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.rounding import round_channels
from perfsim.architectures.vision.transformer import attend_in_steps
from perfsim.errors import ConfigError
from perfsim.ops import FromBlocks, Linear, RelativeLogits, ToBlocks

__all__ = ["HaloNet"]


@dataclass(frozen=True, kw_only=True)
class HaloNet(VisionModel):
    """Stem, four stages of bottlenecks, classifier.

    Logits that depend on the queries fit no fused attention kernel, so scores are stored unless a stack fuses them.

    blocks: per stage one letter per block, ``c`` with a 3×3 convolution, ``a`` with attention; widths, middles:
    channels of a stage and inside its blocks; heads: of attention per stage; key_dim: width of queries and keys per
    head, 0 for that of the values; block, halo: tokens per side of a block of queries, and around it for the others;
    stem: channels of its convolutions, 7×7 if there is one, else 3×3; stem_pool: whether a maximum closes it, else its
    last convolution is strided; squeeze: squeeze-and-excite to a sixteenth behind each 3×3 convolution of a block;
    features: channels of a last 1×1 convolution, 0 for none; act.

    References
    ----------
    .. [1] A. Vaswani et al., "Scaling Local Self-Attention for Parameter Efficient Visual Backbones", arXiv 2103.12731.
    """

    blocks: tuple[str, ...]
    widths: tuple[int, ...]
    middles: tuple[int, ...]
    heads: tuple[int, ...] = (8, 8, 8, 8)
    key_dim: int = 0
    block: int = 8
    halo: int = 3
    stem: tuple[int, ...] = (24, 32, 64)
    stem_pool: bool = True
    squeeze: bool = False
    features: int = 0
    act: str = "relu"
    image_size: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(set(letters) - {"a", "c"} or not letters for letters in self.blocks):
            given = ", ".join(self.blocks)
            letters = "a (attention) or c (convolution)"
            raise ConfigError(f"{self.name}: blocks={given}: expected one letter per block, {letters}")

    def layers(self, net: Net, image: str) -> None:
        """Stem, stages, classifier."""
        x = self._stem(net, image)
        for stage, letters in enumerate(self.blocks):
            for index, letter in enumerate(letters):
                with net.block(f"stages.{stage}.{index}"):
                    x = self._block(net, x, stage, letter, 2 if stage and index == 0 else 1)
        if self.features:
            x = net.conv_norm("final", x, self.features, act=self.act)
        net.classifier(x, self.classes)

    def _stem(self, net: Net, x: str) -> str:
        kernel, last = 7 if len(self.stem) == 1 else 3, len(self.stem) - 1
        for index, width in enumerate(self.stem):
            stride = 2 if index == 0 or (index == last and not self.stem_pool) else 1
            x = net.conv_norm(f"stem.{index}", x, width, kernel, stride, act=self.act)
        return net.pool("stem.pool", x, 3, 2, padding=1) if self.stem_pool else x

    def _block(self, net: Net, x: str, stage: int, letter: str, stride: int) -> str:
        width, middle = self.widths[stage], self.middles[stage]
        y = net.conv_norm("conv1", x, middle, act=self.act)
        if letter == "a":
            y = self._attention(net, y, stride, self.heads[stage])
            y = net.act("attention.act", net.batch_norm("attention.norm", y), self.act)
        else:
            y = net.conv_norm("conv2", y, middle, 3, stride, act=self.act)
            if self.squeeze:
                y = net.squeeze_excite("se", y, round_channels(middle / 16, limit=0.0))
        y = net.conv_norm("conv3", y, width, act="")
        if stride > 1 or net.channels(x) != width:
            x = net.conv_norm("shortcut", x, width, 1, stride, act="")
        return net.add("residual", y, x, self.act)

    def _attention(self, net: Net, x: str, stride: int, heads: int) -> str:
        b, width, side = net.builder, net.channels(x), net.side(x)
        key = heads * (self.key_dim or width // heads)
        query = net.conv("attention.query", x, key, 1, stride, tokens=True)
        keys = net.conv("attention.key", x, key, tokens=True)
        values = net.conv("attention.value", x, width, tokens=True)
        own = {"side": side // stride, "block": self.block // stride, "heads": heads}
        query = b.add(ToBlocks, "attention.query.blocks", (query,), **own)
        halo = {"side": side, "block": self.block, "halo": self.halo, "heads": heads}
        keys = b.add(ToBlocks, "attention.key.blocks", (keys,), **halo)
        values = b.add(ToBlocks, "attention.value.blocks", (values,), **halo)
        y = attend_in_steps(net, (query, keys, values), (self._positions(net, query),))
        out: str = b.add(FromBlocks, "attention.map", (y, x), side=side // stride)
        return out

    def _positions(self, net: Net, query: str) -> str:
        """Logits of relative rows and columns: products of the queries with learned vectors, shared by the heads."""
        key, places = int(net.builder.shape(query)[-1]), 2 * (self.block + 2 * self.halo) - 1
        weights = tuple(net.weight(f"attention.{axis}.weight", key, places) for axis in ("rows", "columns"))
        outputs = ("rows", "columns")
        rows, columns = net.builder.add(Linear, "attention.positions", (query, *weights), outputs=outputs)
        window = self.block + 2 * self.halo
        logits: str = net.builder.add(RelativeLogits, "attention.logits", (rows, columns), window=window)
        return logits
