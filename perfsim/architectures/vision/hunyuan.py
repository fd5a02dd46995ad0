"""HunyuanDiT: a diffusion transformer with cross attention and long skip connections."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.architectures.vision.denoiser import Denoiser
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.transformer import attend, mlp
from perfsim.graph import Role
from perfsim.ops import Elementwise, Join, Linear, Norm

__all__ = ["HunyuanDit"]


@dataclass(frozen=True, kw_only=True)
class HunyuanDit(Denoiser):
    """Layers of self attention (its norm shifted by time), cross attention to two encoded texts, and a perceptron.

    depth: layers in all; the second half, but for two layers, starts with a join to the first half's output of the same
    level; inner: width of the perceptron; text_tokens, text_width: of the first text; second_tokens, second_width: of
    the second, which also gives one pooled vector of text_width.

    References
    ----------
    .. [1] Z. Li et al., "Hunyuan-DiT: A Powerful Multi-Resolution Diffusion Transformer with Fine-Grained Chinese
       Understanding", arXiv 2405.08748.
    """

    inner: int
    text_tokens: int = 77
    text_width: int = 1024
    second_tokens: int = 256
    second_width: int = 2048

    def layers(self, net: Net, image: str) -> None:
        """Patches to tokens (places turn queries and keys), layers, tokens to patches."""
        patch = self.patch
        self.blocks(net, net.conv("patches", image, self.hidden, patch, patch, padding=0, bias=True, tokens=True))

    def blocks(self, net: Net, x: str) -> None:
        """Text and condition; plain layers; layers with a skip connection; output."""
        batch, dtype, b = net.step.batch, net.step.dtype, net.builder
        text = b.tensor("text", (batch, self.text_tokens, self.text_width), dtype, Role.INPUT)
        second = b.tensor("second", (batch, self.second_tokens, self.second_width), dtype, Role.INPUT)
        wide = net.act("second.act", net.linear("second.in", second, 4 * self.second_width), "silu")
        joined = b.add(Join, "texts", (text, net.linear("second.out", wide, self.text_width)), axis=1)
        padding = net.weight("texts.padding", self.text_tokens + self.second_tokens, self.text_width)
        joined = net.combine("texts.pad", joined, padding)
        extra = net.act("extra.act", net.linear("extra.in", self._pooled(net, second), 4 * self.hidden), "silu")
        condition = net.combine("condition", self.time(net), net.linear("extra.out", extra, self.hidden))
        skipping = self.depth // 2 - 1
        with net.block("blocks", self.depth - skipping):
            entering = x
            x = self._layer(net, x, joined, condition)
        with net.block("skips", skipping):
            y = net.layer_norm("skip.norm", b.add(Join, "skip.join", (x, entering), axis=2))
            x = self._layer(net, net.linear("skip", y, self.hidden), joined, condition)
        self.output(net, x, condition, 2 * self.latent_channels)

    def _pooled(self, net: Net, second: str) -> str:
        """Attention of one query to the second text, as its products without the softmax: (batch, text_width)."""
        placed = net.combine("pool.places", second, net.weight("pool.positions", self.second_tokens, self.second_width))
        key, value = (net.linear(f"pool.{part}", placed, self.second_width) for part in ("k", "v"))
        read = net.global_pool("pool.read", net.combine("pool.weighted", key, value, "multiply"))
        query = net.linear("pool.q", net.global_pool("pool.mean", placed), self.second_width)
        return net.linear("pool.out", net.combine("pool.product", query, read, "multiply"), self.text_width)

    def _layer(self, net: Net, x: str, text: str, condition: str) -> str:
        shift = net.linear("shift", net.act("shift.act", condition, "silu"), self.hidden)
        y = net.combine("attention.shift", net.layer_norm("attention.norm", x), shift)
        x = net.add("attention.residual", self._attention(net, "attention", y, y), x)
        y = self._attention(net, "cross", net.layer_norm("cross.norm", x), text)
        x = net.add("cross.residual", y, x)
        return net.add("mlp.residual", mlp(net, net.layer_norm("mlp.norm", x), self.inner), x)

    def _attention(self, net: Net, name: str, x: str, source: str) -> str:
        b, shape = net.builder, (self.heads, self.hidden // self.heads)
        parts = []
        for part, given in (("q", x), ("k", source), ("v", source)):
            weight = net.weight(f"{name}.{part}.weight", net.channels(given), *shape)
            y = b.add(Linear, f"{name}.{part}", (given, weight))
            y = net.combine(f"{name}.{part}.add_bias", y, net.weight(f"{name}.{part}.bias", *shape), "bias")
            if part != "v":
                weights = tuple(net.weight(f"{name}.{part}.norm.{what}", shape[1]) for what in ("weight", "bias"))
                y = b.add(Norm, f"{name}.{part}.norm", (y, *weights), function="layernorm")
            parts.append(y)
        turned = parts[:2] if x == source else parts[:1]
        outputs = ("q", "k")[: len(turned)]
        places = b.add(Elementwise, f"{name}.rotary", tuple(turned), outputs=outputs, function="rotary")
        parts[: len(turned)] = list(places) if len(turned) > 1 else [places]
        y = attend(net, (parts[0], parts[1], parts[2]), name=name)
        y = b.add(Linear, f"{name}.output", (y, net.weight(f"{name}.output.weight", *shape, self.hidden)), contracted=2)
        return net.combine(f"{name}.output_bias", y, net.weight(f"{name}.output.bias", self.hidden), "bias")
