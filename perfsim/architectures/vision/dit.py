"""Diffusion transformers with one stream of image tokens: DiT (classes) and PixArt (text by cross attention)."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.architectures.vision.denoiser import Denoiser, modulated
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.transformer import attend, attention, mlp
from perfsim.graph import Role
from perfsim.ops import Embedding, Linear
from perfsim.quantities.dtypes import DTYPES

__all__ = ["Dit", "PixArt"]


@dataclass(frozen=True, kw_only=True)
class Dit(Denoiser):
    """DiT: time and class make shifts, scales and gates in every layer; it also predicts variances.

    classes: and one more for none.

    References
    ----------
    .. [1] W. Peebles, S. Xie, "Scalable Diffusion Models with Transformers", arXiv 2212.09748.
    """

    image_size: int = 256

    def blocks(self, net: Net, x: str) -> None:
        """Layers whose norms are modulated by time and class."""
        table = net.weight("classes.table", self.classes + 1, self.hidden)
        label = net.builder.tensor("label", (net.step.batch,), DTYPES["int32"], Role.INDEX)
        embedded = net.builder.add(Embedding, "classes", (label, table), dtype=net.step.dtype)
        condition = net.combine("condition", self.time(net), embedded)
        with net.block("blocks", self.depth):
            shift, scale, gate, *second = self.modulation(net, "modulation", condition, 6)
            y = attention(net, modulated(net, "attention", x, shift, scale), self.heads)
            x = net.add("attention.residual", net.combine("attention.gate", y, gate, "scale"), x)
            y = mlp(net, modulated(net, "mlp", x, second[0], second[1]), 4 * self.hidden)
            x = net.add("mlp.residual", net.combine("mlp.gate", y, second[2], "scale"), x)
        self.output(net, x, condition, 2 * self.latent_channels)


@dataclass(frozen=True, kw_only=True)
class PixArt(Denoiser):
    """PixArt-α and -Σ: one modulation for all layers, plus a learned table in each; text by cross attention.

    text_tokens, text_width: of the encoded text.

    References
    ----------
    .. [1] J. Chen et al., arXiv 2310.00426, 2403.04692.
    """

    text_tokens: int = 300
    text_width: int = 4096

    def blocks(self, net: Net, x: str) -> None:
        """Layers of self attention, cross attention and perceptron."""
        given = (net.step.batch, self.text_tokens, self.text_width)
        text = net.builder.tensor("text", given, net.step.dtype, Role.INPUT)
        text = self.embedded(net, "text", text, "gelu")
        time = self.time(net)
        shared = net.linear("modulation", net.act("modulation.act", time, "silu"), 6 * self.hidden)
        with net.block("blocks", self.depth):
            table = net.combine("modulation.add", shared, net.weight("modulation.table", 6 * self.hidden))
            parts = net.split("modulation.parts", table, (self.hidden,) * 6)
            y = attention(net, modulated(net, "attention", x, parts[0], parts[1]), self.heads)
            x = net.add("attention.residual", net.combine("attention.gate", y, parts[2], "scale"), x)
            x = net.add("cross.residual", self._cross(net, x, text), x)
            y = mlp(net, modulated(net, "mlp", x, parts[3], parts[4]), 4 * self.hidden)
            x = net.add("mlp.residual", net.combine("mlp.gate", y, parts[5], "scale"), x)
        table = net.weight("output.table", 2 * self.hidden)
        ends = net.combine("output.add", net.join("output.time", time, time), table)
        shift, scale = net.split("output.parts", ends, (self.hidden,) * 2)
        net.linear("output", modulated(net, "output", x, shift, scale), self.patch**2 * 2 * self.latent_channels)

    def _cross(self, net: Net, x: str, text: str) -> str:
        b, shape = net.builder, (self.heads, self.hidden // self.heads)
        parts = []
        for part, source in (("q", x), ("k", text), ("v", text)):
            y = b.add(Linear, f"cross.{part}", (source, net.weight(f"cross.{part}.weight", self.hidden, *shape)))
            parts.append(net.combine(f"cross.{part}.add_bias", y, net.weight(f"cross.{part}.bias", *shape), "bias"))
        y = attend(net, (parts[0], parts[1], parts[2]), name="cross")
        y = b.add(Linear, "cross.output", (y, net.weight("cross.output.weight", *shape, self.hidden)), contracted=2)
        return net.combine("cross.output_bias", y, net.weight("cross.output.bias", self.hidden), "bias")
