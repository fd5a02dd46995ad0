"""The decoder of a variational autoencoder: from latent images to pixels."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.transformer import attention
from perfsim.graph import Role
from perfsim.ops import GroupNorm, Resize, ToMap, ToTokens

__all__ = ["KlDecoder"]


@dataclass(frozen=True, kw_only=True)
class KlDecoder(VisionModel):
    """Residual blocks with group norms; attention at the smallest size; sizes double by repetition and a convolution.

    image_size: of the pixels made; channels: of the latent images; widths: from the smallest size to the largest;
    blocks: residual blocks per size; quantized: whether a 1×1 convolution comes first.

    References
    ----------
    .. [1] R. Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", arXiv 2112.10752.
    """

    widths: tuple[int, ...] = (512, 512, 256, 128)
    blocks: int = 3
    quantized: bool = True
    channels: int = 4
    image_size: int = 1024

    def given(self, net: Net) -> str:
        """Latent images; each level but the first doubles their size."""
        size = net.step.image_size // 2 ** (len(self.widths) - 1)
        return net.builder.tensor("latent", (net.step.batch, self.channels, size, size), net.step.dtype, Role.INPUT)

    def layers(self, net: Net, image: str) -> None:
        """Middle with attention, levels, colours."""
        x = net.conv("quantized", image, self.channels, bias=True) if self.quantized else image
        x = net.conv("in", x, self.widths[0], 3, bias=True)
        x = self._residual(net, "middle.0", x, self.widths[0])
        x = self._residual(net, "middle.1", self._attention(net, x), self.widths[0])
        for level, width in enumerate(self.widths):
            for block in range(self.blocks):
                x = self._residual(net, f"up.{level}.{block}", x, width)
            if level < len(self.widths) - 1:
                x = net.builder.add(Resize, f"up.{level}.double", (x,))
                x = net.conv(f"up.{level}.conv", x, width, 3, bias=True)
        net.conv("out", self._normed(net, "out.norm", x), 3, 3, bias=True)

    @staticmethod
    def _normed(net: Net, name: str, x: str, act: str = "silu") -> str:
        width = net.channels(x)
        inputs = (x, net.weight(f"{name}.weight", width), net.weight(f"{name}.bias", width))
        return net.act(f"{name}.act", net.builder.add(GroupNorm, name, inputs), act)

    def _residual(self, net: Net, name: str, x: str, width: int) -> str:
        y = net.conv(f"{name}.conv1", self._normed(net, f"{name}.norm1", x), width, 3, bias=True)
        y = net.conv(f"{name}.conv2", self._normed(net, f"{name}.norm2", y), width, 3, bias=True)
        if net.channels(x) != width:
            x = net.conv(f"{name}.shortcut", x, width, bias=True)
        return net.add(f"{name}.residual", y, x)

    def _attention(self, net: Net, x: str) -> str:
        side = net.side(x)
        tokens = net.builder.add(ToTokens, "attention.tokens", (self._normed(net, "attention.norm", x, ""),))
        y = net.builder.add(ToMap, "attention.map", (attention(net, tokens, 1),), spatial=(side, side))
        return net.add("attention.residual", y, x)
