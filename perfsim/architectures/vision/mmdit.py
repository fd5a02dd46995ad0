"""Diffusion transformers with a stream of image tokens and one of text tokens: Stable Diffusion 3 and FLUX."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.architectures.vision.denoiser import Denoiser, modulated, normalized_heads
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.transformer import attend
from perfsim.graph import Role
from perfsim.ops import Elementwise, Join, JoinHeads, Linear, Split

__all__ = ["Mmdit"]

STREAMS = ("text", "image")


@dataclass(frozen=True, kw_only=True)
class Mmdit(Denoiser):
    """Layers in which both streams have weights of their own and attend together, then layers of one joint stream.

    depth: layers of two streams; joint_depth: layers behind them in which all tokens are one stream and the perceptron
    runs beside the attention; twice_attended: first layers in which image tokens attend once more among themselves;
    text_ends: whether the last layer of two streams drops the text; normed_heads: whether queries and keys are normed;
    rotary: whether they are turned by their place; text_tokens, text_width, pooled_width: of the encoded text;
    guidance_embedded: whether the strength of guidance is an input, which saves the second pass.

    References
    ----------
    .. [1] P. Esser et al., "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis", arXiv 2403.03206.
    """

    joint_depth: int = 0
    twice_attended: int = 0
    text_ends: bool = True
    normed_heads: bool = True
    rotary: bool = False
    text_tokens: int = 333
    text_width: int = 4096
    pooled_width: int = 2048
    guidance_embedded: bool = False
    latent_channels: int = 16
    decoder_quantized: bool = False

    def blocks(self, net: Net, x: str) -> None:
        """Condition, layers of two streams, layers of one, output."""
        batch, dtype = net.step.batch, net.step.dtype
        text = net.builder.tensor("text", (batch, self.text_tokens, self.text_width), dtype, Role.INPUT)
        pooled = net.builder.tensor("pooled", (batch, self.pooled_width), dtype, Role.INPUT)
        condition = net.combine("condition", self.time(net), self.embedded(net, "pooled_text", pooled))
        if self.guidance_embedded:
            condition = net.combine("condition.guidance", condition, self.time(net, "guidance"))
        streams = {"text": net.linear("text.project", text, self.hidden), "image": x}
        plain = self.depth - self.twice_attended - self.text_ends
        for name, count, twice in (("twice", self.twice_attended, True), ("pairs", plain, False)):
            if count:
                with net.block(name, count):
                    streams = self._pair(net, streams, condition, twice=twice)
        if self.text_ends:
            with net.block("last"):
                streams = self._pair(net, streams, condition, last=True)
        x = streams["image"]
        if self.joint_depth:
            x = self._joint(net, streams, condition)
        self.output(net, x, condition, self.latent_channels)

    def _pair(
        self, net: Net, streams: dict[str, str], condition: str, *, twice: bool = False, last: bool = False
    ) -> dict[str, str]:
        """One layer of two streams; the last one leaves no text."""
        kept = STREAMS[1:] if last else STREAMS
        parts, normed = {}, {}
        for name in STREAMS:
            count = (9 if twice and name == "image" else 6) if name in kept else 2
            parts[name] = self.modulation(net, f"{name}.modulation", condition, count)
            normed[name] = modulated(net, f"{name}.attention", streams[name], parts[name][0], parts[name][1])
        attended = self._together(net, normed)
        result = {}
        for name in kept:
            y = net.combine(f"{name}.gate", self._projected(net, name, attended[name]), parts[name][2], "scale")
            x = net.add(f"{name}.attention.residual", y, streams[name])
            if twice and name == "image":
                x = self._again(net, streams[name], x, parts[name][6:])
            result[name] = self._perceptron(net, name, x, parts[name][3:6])
        return result

    def _together(self, net: Net, normed: dict[str, str]) -> dict[str, str]:
        """Attention of all tokens, text in front, cut into streams again."""
        b = net.builder
        heads = [
            normalized_heads(net, f"{name}.heads", normed[name], self.heads, self.normed_heads) for name in STREAMS
        ]
        query, key, value = (
            b.add(Join, f"join.{part}", (heads[0][index], heads[1][index])) for index, part in enumerate("qkv")
        )
        y = attend(net, (*self._turned(net, query, key), value))
        sizes = tuple(b.shape(normed[name])[1] for name in STREAMS)
        return dict(zip(STREAMS, b.add(Split, "streams", (y,), outputs=STREAMS, sizes=sizes), strict=True))

    def _turned(self, net: Net, query: str, key: str) -> tuple[str, str]:
        if not self.rotary:
            return query, key
        turned: tuple[str, str] = net.builder.add(
            Elementwise, "rotary", (query, key), outputs=("q", "k"), function="rotary"
        )  # fmt: skip
        return turned

    def _projected(self, net: Net, name: str, heads: str) -> str:
        weight = net.weight(f"{name}.output.weight", self.heads, self.hidden // self.heads, self.hidden)
        y = net.builder.add(Linear, f"{name}.output", (heads, weight), contracted=2)
        return net.combine(f"{name}.output.add_bias", y, net.weight(f"{name}.output.bias", self.hidden), "bias")

    def _again(self, net: Net, entering: str, x: str, parts: tuple[str, ...]) -> str:
        """A second attention of the image tokens alone, on the stream as it entered the layer."""
        y = modulated(net, "again", entering, parts[0], parts[1])
        y = attend(net, normalized_heads(net, "again.heads", y, self.heads, self.normed_heads), name="again")
        gated = net.combine("again.gate", self._projected(net, "again", y), parts[2], "scale")
        return net.add("again.residual", gated, x)

    def _perceptron(self, net: Net, name: str, x: str, parts: tuple[str, ...]) -> str:
        y = modulated(net, f"{name}.mlp", x, parts[0], parts[1])
        y = net.act(f"{name}.mlp.act", net.linear(f"{name}.mlp.expand", y, 4 * self.hidden), "gelu")
        y = net.linear(f"{name}.mlp.project", y, self.hidden)
        return net.add(f"{name}.mlp.residual", net.combine(f"{name}.mlp.gate", y, parts[2], "scale"), x)

    def _joint(self, net: Net, streams: dict[str, str], condition: str) -> str:
        """Layers of one stream; afterwards the image tokens alone."""
        b = net.builder
        sizes = tuple(b.shape(streams[name])[1] for name in STREAMS)
        x = net.join("joint", streams["text"], streams["image"])
        with net.block("joints", self.joint_depth):
            shift, scale, gate = self.modulation(net, "modulation", condition, 3)
            y = modulated(net, "norm", x, shift, scale)
            query, key, value = normalized_heads(net, "heads", y, self.heads, self.normed_heads)
            attended = attend(net, (*self._turned(net, query, key), value))
            wide = net.act("mlp.act", net.linear("mlp.expand", y, 4 * self.hidden), "gelu")
            flat = b.add(Join, "both", (self._flat(net, attended), wide), axis=2)
            y = net.combine("gate", net.linear("output", flat, self.hidden), gate, "scale")
            x = net.add("residual", y, x)
        return str(b.add(Split, "joint.split", (x,), outputs=STREAMS, sizes=sizes)[1])

    @staticmethod
    def _flat(net: Net, heads: str) -> str:
        """Heads side by side: (batch, tokens, hidden)."""
        y: str = net.builder.add(JoinHeads, "flat", (heads,))
        return y
