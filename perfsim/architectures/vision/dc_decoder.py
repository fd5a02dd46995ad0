"""The decoder of a deep-compression autoencoder: from latent images at a 32nd of the size to pixels."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.graph import Role
from perfsim.ops import KeyValueSum, LinearRead, Norm, Resize, Split, ToMap, ToTokens

__all__ = ["DcDecoder", "gated_convolutions"]


@dataclass(frozen=True, kw_only=True)
class DcDecoder(VisionModel):
    """Stages from small to large: linear attention at two scales with gated convolutions, then residual convolutions.

    image_size: of the pixels made; channels: of the latent images; widths: from the smallest size to the largest;
    blocks: per stage; attending: first stages with attention; head_dim: width of an attention head; scale: size of the
    depthwise kernel that gives the second scale.

    References
    ----------
    .. [1] J. Chen et al., "Deep Compression Autoencoder for Efficient High-Resolution Diffusion Models",
       arXiv 2410.10733.
    """

    widths: tuple[int, ...] = (1024, 1024, 512, 512, 256, 128)
    blocks: int = 3
    attending: int = 3
    head_dim: int = 32
    scale: int = 5
    channels: int = 32
    image_size: int = 1024

    def given(self, net: Net) -> str:
        """Latent images; each stage but the first doubles their size."""
        size = net.step.image_size // 2 ** (len(self.widths) - 1)
        return net.builder.tensor("latent", (net.step.batch, self.channels, size, size), net.step.dtype, Role.INPUT)

    def layers(self, net: Net, image: str) -> None:
        """Stages, colours. Shortcuts around a change of size are free copies but for their addition."""
        x = net.conv("in", image, self.widths[0], 3, bias=True)
        for stage, width in enumerate(self.widths):
            if stage:
                x = net.builder.add(Resize, f"up.{stage}.double", (x,))
                x = net.conv(f"up.{stage}.conv", x, width, 3, bias=True)
                x = net.act(f"up.{stage}.shortcut", x, "add")
            with net.block(f"stages.{stage}", self.blocks):
                if stage < self.attending:
                    x = net.add("attention.residual", self._attention(net, x), x)
                    x = net.add("residual", _normed(net, "norm", gated_convolutions(net, x, 4)), x)
                else:
                    x = net.add("residual", self._residual(net, x), x)
        net.conv("out", net.act("out.act", _normed(net, "out.norm", x), "relu"), 3, 3, bias=True)

    @staticmethod
    def _residual(net: Net, x: str) -> str:
        width = net.channels(x)
        y = net.act("act", net.conv("conv1", x, width, 3, bias=True), "silu")
        return _normed(net, "norm", net.conv("conv2", y, width, 3))

    def _attention(self, net: Net, x: str) -> str:
        b, width, side = net.builder, net.channels(x), net.side(x)
        heads = width // self.head_dim
        qkv = net.conv("attention.qkv", x, 3 * width)
        wider = net.conv("attention.scale", qkv, 3 * width, self.scale, groups=3 * width)
        wider = net.conv("attention.scale.mix", wider, 3 * width, groups=3 * heads)
        tokens = b.add(ToTokens, "attention.tokens", (net.join("attention.scales", qkv, wider),), heads=2 * heads)
        parts = b.add(Split, "attention.split", (tokens,), outputs=("q", "k", "v"), sizes=(self.head_dim,) * 3, axis=3)
        query, key = (net.act(f"attention.{n}.act", part, "relu") for n, part in zip("qk", parts, strict=False))
        read = b.add(LinearRead, "attention.read", (query, b.add(KeyValueSum, "attention.sum", (key, parts[2]))))
        y = b.add(ToMap, "attention.map", (read,), spatial=(side, side))
        return _normed(net, "attention.norm", net.conv("attention.project", y, width))


def gated_convolutions(net: Net, x: str, expansion: float, name: str = "local") -> str:
    """1×1 to 2 · ``expansion`` times the width, depthwise 3×3, one half gates the other, 1×1 (arXiv 2410.10629)."""
    width = net.channels(x)
    middle = int(expansion * width)
    y = net.act(f"{name}.act", net.conv(f"{name}.expand", x, 2 * middle, bias=True), "silu")
    y = net.conv(f"{name}.depthwise", y, 2 * middle, 3, groups=2 * middle, bias=True)
    kept, gate = net.split(f"{name}.halves", y, (middle, middle))
    y = net.combine(f"{name}.gate", kept, net.act(f"{name}.gate.act", gate, "silu"), "multiply")
    return net.conv(f"{name}.project", y, width)


def _normed(net: Net, name: str, x: str) -> str:
    width = net.channels(x)
    inputs = (x, net.weight(f"{name}.weight", width), net.weight(f"{name}.bias", width))
    y: str = net.builder.add(Norm, name, inputs, function="rmsnorm")
    return y
