"""What networks that remove noise from latent images share, and the decoder that makes pixels of the result."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from perfsim.architectures.vision.kl_decoder import KlDecoder
from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.errors import InputError
from perfsim.graph import Role
from perfsim.ops import Linear, Norm

__all__ = ["Denoiser", "modulated", "normalized_heads"]

SINES = 256
"""Sines and cosines by which a time enters."""


@dataclass(frozen=True, kw_only=True)
class Denoiser(VisionModel):
    """One step of a latent diffusion model: noise in ``latent_channels`` at an eighth of the image's size.

    hidden, heads, depth: of the transformer; patch: latent pixels per side of a token; latent_channels; shrink: pixels
    per latent pixel; guided: whether each image needs two passes, with and without its text (classifier-free guidance);
    decoder_quantized: whether the decoder starts with a 1×1 convolution; stored_side: tokens per side of a stored table
    of places, of which the middle is used, 0 if they are computed.
    """

    hidden: int
    heads: int
    depth: int
    patch: int = 2
    latent_channels: int = 4
    shrink: int = 8
    guided: bool = True
    decoder_quantized: bool = True
    stored_side: int = 0
    image_size: int = 1024

    depth_fields: ClassVar[tuple[str, ...]] = ("depth",)

    family = "diffusion model"
    usual_task = "diffusion"
    outside = ("text encoders, tokenization, the sampler's own arithmetic",)

    @cached_property
    def decoder(self) -> VisionModel:
        """The network that turns a latent image into pixels."""
        return KlDecoder(
            name=f"{self.name} decoder", image_size=self.image_size, channels=self.latent_channels,
            quantized=self.decoder_quantized,
        )  # fmt: skip

    def given(self, net: Net) -> str:
        """Latent images (batch, latent channels, size / shrink, size / shrink)."""
        size, multiple = net.step.image_size, self.shrink * self.patch
        if isinstance(size, int) and size % multiple:
            raise InputError(f"{size} pixels are no whole number of tokens: expected a multiple of {multiple}")
        shape = (net.step.batch, self.latent_channels, size // self.shrink, size // self.shrink)
        return net.builder.tensor("latent", shape, net.step.dtype, Role.INPUT)

    def layers(self, net: Net, image: str) -> None:
        """Patches to tokens, layers, tokens to patches."""
        x = net.conv("patches", image, self.hidden, self.patch, self.patch, padding=0, bias=True, tokens=True)
        shape = net.builder.shape(x)[1:]
        if self.stored_side:
            table = net.weight("positions.table", self.stored_side**2, self.hidden)
            places = net.builder.view("positions", table, shape)
        else:
            places = net.builder.tensor("positions", shape, net.step.dtype, Role.STATE)
        self.blocks(net, net.combine("positions.add", x, places))

    @abstractmethod
    def blocks(self, net: Net, x: str) -> None:
        """Layers and output behind the tokens ``x``."""

    def time(self, net: Net, name: str = "time") -> str:
        """A number such as the time, as sines, through two projections: (batch, hidden)."""
        sines = net.builder.tensor(f"{name}.sines", (net.step.batch, SINES), net.step.dtype, Role.INPUT)
        return self.embedded(net, name, sines)

    def embedded(self, net: Net, name: str, x: str, act: str = "silu") -> str:
        """Two projections to the width of the model."""
        y = net.act(f"{name}.act", net.linear(f"{name}.in", x, self.hidden), act)
        return net.linear(f"{name}.out", y, self.hidden)

    def modulation(self, net: Net, name: str, condition: str, parts: int) -> tuple[str, ...]:
        """``parts`` vectors per sample (shifts, scales, gates) from the condition."""
        y = net.linear(name, net.act(f"{name}.act", condition, "silu"), parts * self.hidden)
        return net.split(f"{name}.parts", y, (self.hidden,) * parts)

    def output(self, net: Net, x: str, condition: str, channels: int) -> None:
        """Modulated norm and a projection to the pixels of each patch."""
        shift, scale = self.modulation(net, "output.modulation", condition, 2)
        net.linear("output", modulated(net, "output", x, shift, scale), self.patch**2 * channels)


def modulated(net: Net, name: str, x: str, shift: str, scale: str) -> str:
    """Layer norm without parameters, scaled and shifted by vectors of the sample (arXiv 2212.09748, section 3.2)."""
    y = net.builder.add(Norm, f"{name}.norm", (x,), function="layernorm")
    return net.combine(f"{name}.shift", net.combine(f"{name}.scale", y, scale, "scale"), shift)


def normalized_heads(net: Net, name: str, x: str, heads: int, normed: bool) -> tuple[str, str, str]:
    """Queries, keys and values (batch, tokens, heads, dim) of ``x``; ``normed``: RMS norms on queries and keys."""
    width = net.channels(x)
    shape = (heads, width // heads)
    weights = tuple(net.weight(f"{name}.{part}.weight", width, *shape) for part in ("q", "k", "v"))
    qkv: tuple[str, ...] = net.builder.add(Linear, f"{name}.qkv", (x, *weights), outputs=("q", "k", "v"))
    parts = [
        net.combine(f"{name}.{part}.add_bias", y, net.weight(f"{name}.{part}.bias", *shape), "bias")
        for part, y in zip(("q", "k", "v"), qkv, strict=True)
    ]
    if normed:
        for index, part in enumerate(("q", "k")):
            scale = net.weight(f"{name}.{part}.norm.weight", shape[1])
            parts[index] = net.builder.add(Norm, f"{name}.{part}.norm", (parts[index], scale), function="rmsnorm")
    return parts[0], parts[1], parts[2]
