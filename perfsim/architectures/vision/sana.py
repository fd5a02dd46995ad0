"""SANA: a diffusion transformer with linear attention over strongly compressed images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from perfsim.architectures.vision.dc_decoder import DcDecoder, gated_convolutions
from perfsim.architectures.vision.denoiser import Denoiser, modulated
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.transformer import attend
from perfsim.graph import Role
from perfsim.ops import KeyValueSum, Linear, LinearRead, Norm, ToMap, ToTokens

__all__ = ["Sana"]


@dataclass(frozen=True, kw_only=True)
class Sana(Denoiser):
    """Layers of linear attention, cross attention to the text, and gated convolutions; places are not encoded.

    heads: of the linear attention; cross_heads: of the cross attention; expansion: of the convolutions; text_tokens,
    text_width: of the encoded text.

    References
    ----------
    .. [1] E. Xie et al., "SANA: Efficient High-Resolution Image Synthesis with Linear Diffusion Transformers",
       arXiv 2410.10629, and SANA 1.5, arXiv 2501.18427.
    """

    cross_heads: int = 20
    expansion: float = 2.5
    text_tokens: int = 300
    text_width: int = 2304
    patch: int = 1
    latent_channels: int = 32
    shrink: int = 32

    @cached_property
    def decoder(self) -> DcDecoder:
        """The decoder of the deep-compression autoencoder."""
        return DcDecoder(name=f"{self.name} decoder", image_size=self.image_size, channels=self.latent_channels)

    def layers(self, net: Net, image: str) -> None:
        """Patches to tokens without places, layers, tokens to patches."""
        patch = self.patch
        self.blocks(net, net.conv("patches", image, self.hidden, patch, patch, padding=0, bias=True, tokens=True))

    def blocks(self, net: Net, x: str) -> None:
        """Layers with one modulation for all, plus a learned table in each."""
        given = (net.step.batch, self.text_tokens, self.text_width)
        text = self.embedded(net, "text", net.builder.tensor("text", given, net.step.dtype, Role.INPUT), "gelu")
        text = _normed(net, "text.norm", text)
        time = self.time(net)
        shared = net.linear("modulation", net.act("modulation.act", time, "silu"), 6 * self.hidden)
        side = net.step.image_size // (self.shrink * self.patch)
        with net.block("blocks", self.depth):
            table = net.combine("modulation.add", shared, net.weight("modulation.table", 6 * self.hidden))
            parts = net.split("modulation.parts", table, (self.hidden,) * 6)
            y = self._attention(net, modulated(net, "attention", x, parts[0], parts[1]))
            x = net.add("attention.residual", net.combine("attention.gate", y, parts[2], "scale"), x)
            x = net.add("cross.residual", self._cross(net, x, text), x)
            y = modulated(net, "mlp", x, parts[3], parts[4])
            y = net.builder.add(ToMap, "mlp.map", (y,), spatial=(side, side))
            y = net.builder.add(ToTokens, "mlp.tokens", (gated_convolutions(net, y, self.expansion),))
            x = net.add("mlp.residual", net.combine("mlp.gate", y, parts[5], "scale"), x)
        table = net.weight("output.table", 2 * self.hidden)
        ends = net.combine("output.add", net.join("output.time", time, time), table)
        shift, scale = net.split("output.parts", ends, (self.hidden,) * 2)
        net.linear("output", modulated(net, "output", x, shift, scale), self.patch**2 * self.latent_channels)

    def _attention(self, net: Net, x: str) -> str:
        b = net.builder
        query, key, value = self._projected(net, "attention", {"q": x, "k": x, "v": x}, self.heads, bias=False)
        query, key = (net.act(f"attention.{n}.act", y, "relu") for n, y in (("q", query), ("k", key)))
        read = b.add(LinearRead, "attention.read", (query, b.add(KeyValueSum, "attention.sum", (key, value))))
        return self._output(net, "attention", read)

    def _cross(self, net: Net, x: str, text: str) -> str:
        parts = self._projected(net, "cross", {"q": x, "k": text, "v": text}, self.cross_heads, bias=True)
        return self._output(net, "cross", attend(net, parts, name="cross"))

    def _projected(
        self, net: Net, name: str, sources: dict[str, str], heads: int, *, bias: bool
    ) -> tuple[str, str, str]:  # fmt: skip
        """Queries, keys and values (batch, tokens, heads, dim); the first two with a norm over all heads."""
        b, shape, parts = net.builder, (heads, self.hidden // heads), []
        for part, source in sources.items():
            y = b.add(Linear, f"{name}.{part}", (source, net.weight(f"{name}.{part}.weight", self.hidden, *shape)))
            if bias:
                y = net.combine(f"{name}.{part}.add_bias", y, net.weight(f"{name}.{part}.bias", *shape), "bias")
            if part != "v":
                scale = net.weight(f"{name}.{part}.norm.weight", *shape)
                y = b.add(Norm, f"{name}.{part}.norm", (y, scale), function="rmsnorm")
            parts.append(y)
        return parts[0], parts[1], parts[2]

    def _output(self, net: Net, name: str, x: str) -> str:
        weight = net.weight(f"{name}.output.weight", *net.builder.shape(x)[2:], self.hidden)
        y = net.builder.add(Linear, f"{name}.output", (x, weight), contracted=2)
        return net.combine(f"{name}.output_bias", y, net.weight(f"{name}.output.bias", self.hidden), "bias")


def _normed(net: Net, name: str, x: str) -> str:
    y: str = net.builder.add(Norm, name, (x, net.weight(f"{name}.weight", net.channels(x))), function="rmsnorm")
    return y
