"""DETR: a residual trunk, a transformer encoder over its map, and a decoder of object queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.resnet import ResNet
from perfsim.architectures.vision.transformer import attend, mlp
from perfsim.graph import Role
from perfsim.ops import Linear, ToTokens

__all__ = ["Detr"]


@dataclass(frozen=True, kw_only=True)
class Detr(VisionModel):
    """Object detector: classes and boxes of ``queries`` objects.

    image_size: of the shorter side; aspect: longer side over shorter side; layers_per_stage: blocks of the trunk, a
    ResNet of bottlenecks; hidden, heads, encoder_depth, decoder_depth, feed_forward: of the transformer; queries;
    classes: of objects, one more for none.

    References
    ----------
    .. [1] N. Carion et al., "End-to-End Object Detection with Transformers", arXiv 2005.12872.
    """

    image_size: int = 800
    aspect: float = 1.0
    layers_per_stage: tuple[int, ...] = (3, 4, 6, 3)
    hidden: int = 256
    heads: int = 8
    encoder_depth: int = 6
    decoder_depth: int = 6
    feed_forward: int = 2048
    queries: int = 100
    classes: int = 91

    depth_fields: ClassVar[tuple[str, ...]] = ("layers_per_stage", "encoder_depth", "decoder_depth")

    def given(self, net: Net) -> str:
        """Images (batch, channels, size, size · aspect)."""
        return net.image(self.channels, self.aspect)

    def layers(self, net: Net, image: str) -> None:
        """Trunk, encoder, decoder, heads."""
        x = ResNet(name=self.name, layers_per_stage=self.layers_per_stage).features(net, image)
        x = net.builder.add(ToTokens, "project.tokens", (net.conv("project", x, self.hidden, bias=True),))
        places = net.builder.tensor("sines", net.builder.shape(x)[1:], net.step.dtype, Role.STATE)
        with net.block("encoder", self.encoder_depth):
            placed = net.combine("places", x, places)
            x = self._closed(net, "self", x, self._attention(net, "self", placed, placed, x))
            x = self._closed(net, "mlp", x, mlp(net, x, self.feed_forward, "relu"))
        y = self._decoder(net, x, net.combine("memory.places", x, places))
        net.linear("classes", y, self.classes + 1)
        for index in range(2):
            y = net.act(f"boxes.{index}.act", net.linear(f"boxes.{index}", y, self.hidden), "relu")
        net.act("boxes.act", net.linear("boxes", y, 4), "sigmoid")

    def _decoder(self, net: Net, memory: str, placed: str) -> str:
        """Queries attend to each other and to the memory, whose keys carry places and whose values do not."""
        shape = (net.step.batch, self.queries, self.hidden)
        x = net.builder.tensor("targets", shape, net.step.dtype, Role.STATE)
        learned = net.weight("queries", self.queries, self.hidden)
        with net.block("decoder", self.decoder_depth):
            query = net.combine("self.places", x, learned)
            x = self._closed(net, "self", x, self._attention(net, "self", query, query, x))
            query = net.combine("cross.places", x, learned)
            x = self._closed(net, "cross", x, self._attention(net, "cross", query, placed, memory))
            x = self._closed(net, "mlp", x, mlp(net, x, self.feed_forward, "relu"))
        return net.layer_norm("decoder.norm", x)

    @staticmethod
    def _closed(net: Net, name: str, x: str, y: str) -> str:
        """Residual addition and the norm behind it."""
        return net.layer_norm(f"{name}.norm", net.add(f"{name}.residual", y, x))

    def _attention(self, net: Net, name: str, query: str, key: str, value: str) -> str:
        """Attention whose queries, keys and values come from different tensors."""
        b, shape = net.builder, (self.heads, self.hidden // self.heads)
        parts = []
        for part, source in (("query", query), ("key", key), ("value", value)):
            y = b.add(Linear, f"{name}.{part}", (source, net.weight(f"{name}.{part}.weight", self.hidden, *shape)))
            parts.append(net.combine(f"{name}.{part}_bias", y, net.weight(f"{name}.{part}.bias", *shape), "bias"))
        y = attend(net, (parts[0], parts[1], parts[2]), name=name)
        y = b.add(Linear, f"{name}.output", (y, net.weight(f"{name}.output.weight", *shape, self.hidden)), contracted=2)
        return net.combine(f"{name}.output_bias", y, net.weight(f"{name}.output.bias", self.hidden), "bias")
