"""SHViT: large-stride patches, and attention with a single head on a part of the channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.rounding import round_channels
from perfsim.architectures.vision.transformer import attend
from perfsim.ops import GroupNorm, ToMap, ToTokens

__all__ = ["SHViT", "local_mixer", "patch_stem", "perceptron"]


@dataclass(frozen=True, kw_only=True)
class SHViT(VisionModel):
    """Four strided convolutions, three stages of depthwise convolution, single-head attention and perceptron.

    depths, widths: per stage; partial: channels that attend in a stage, 0 for none; key_dim: width of queries and keys.

    References
    ----------
    .. [1] S. Yun, Y. Ro, "SHViT", arXiv 2401.16456.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    partial: tuple[int, ...]
    key_dim: int = 16

    depth_fields: ClassVar[tuple[str, ...]] = ("depths",)

    def layers(self, net: Net, image: str) -> None:
        """Patches, stages with a merge between them, head."""
        x = patch_stem(net, image, self.widths[0])
        for stage, (depth, width, partial) in enumerate(zip(self.depths, self.widths, self.partial, strict=True)):
            if stage:
                x = self._merge(net, f"stages.{stage}.merge", x, width)
            with net.block(f"stages.{stage}.blocks", depth):
                x = local_mixer(net, "local", x)
                if partial:
                    x = net.add("attention.residual", self._attention(net, x, partial), x)
                x = net.add("mlp.residual", perceptron(net, "mlp", x, 2), x)
        y = net.batch_norm("head.norm", net.global_pool("head.pool", x))
        net.linear("head", y, self.classes)

    def _merge(self, net: Net, name: str, x: str, width: int) -> str:
        for end in (f"{name}.before", f"{name}.after"):
            x = local_mixer(net, f"{end}.local", x)
            x = net.add(f"{end}.residual", perceptron(net, f"{end}.mlp", x, 2), x)
            if end.endswith("before"):
                middle = 4 * net.channels(x)
                y = net.conv_norm(f"{name}.expand", x, middle)
                y = net.conv_norm(f"{name}.depthwise", y, middle, 3, 2, groups=middle)
                y = net.squeeze_excite(f"{name}.se", y, round_channels(middle * 0.25, 8, 0.0))
                x = net.conv_norm(f"{name}.project", y, width, act="")
        return x

    def _attention(self, net: Net, x: str, partial: int) -> str:
        b, width, spatial = net.builder, net.channels(x), net.builder.shape(x)[2:]
        mixed, kept = net.split("attention.split", x, (partial, width - partial))
        scales = (net.weight("attention.norm.weight", partial), net.weight("attention.norm.bias", partial))
        mixed = b.add(GroupNorm, "attention.norm", (mixed, *scales), groups=1)
        qkv = net.conv_norm("attention.qkv", mixed, 2 * self.key_dim + partial, act="")
        parts = net.split("attention.parts", qkv, (self.key_dim, self.key_dim, partial))
        q, k, v = (b.add(ToTokens, f"attention.{n}", (part,), heads=1) for n, part in zip("qkv", parts, strict=True))
        attended = b.add(ToMap, "attention.map", (attend(net, (q, k, v)),), spatial=spatial)
        y = net.act("attention.act", net.join("attention.join", attended, kept), "relu")
        return net.conv_norm("attention.project", y, width, act="")


def patch_stem(net: Net, image: str, width: int) -> str:
    """Four 3×3 convolutions of stride 2 whose channels double up to ``width``."""
    x = image
    for index, share in enumerate((8, 4, 2, 1)):
        x = net.conv_norm(f"patches.{index}", x, width // share, 3, 2, act="" if share == 1 else "relu")
    return x


def local_mixer(net: Net, name: str, x: str) -> str:
    """Depthwise 3×3 convolution with a residual."""
    width = net.channels(x)
    return net.add(f"{name}.residual", net.conv_norm(name, x, width, 3, groups=width, act=""), x)


def perceptron(net: Net, name: str, x: str, ratio: int) -> str:
    """Two 1×1 convolutions, the inner channels ``ratio`` times as many."""
    width = net.channels(x)
    return net.conv_norm(f"{name}.project", net.conv_norm(f"{name}.expand", x, ratio * width), width, act="")
