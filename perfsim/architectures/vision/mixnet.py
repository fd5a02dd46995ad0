"""MixNet: inverted residuals whose convolutions mix kernel sizes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.mobile import MobileBlock, MobileNet
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.rounding import round_channels
from perfsim.errors import ConfigError

__all__ = ["MixBlock", "MixNet", "shares"]


@dataclass(frozen=True)
class MixBlock(MobileBlock):
    """A block, written like ``ir_r3_k3.5_a1.1_p1.1_s1_e6_c40_se0.5_nsw``.

    Beyond :class:`MobileBlock`: kernels of equal shares of the depthwise channels (``k3.5``); equal shares in which the
    expansion (``a1.1``) and the projection (``p1.1``) are made; ``nsw`` activation is SiLU, otherwise the network's.
    """

    kernels: tuple[int, ...] = ()
    expand_parts: int = 1
    project_parts: int = 1
    silu: bool = False

    @classmethod
    def parse(cls, text: str, model: str) -> MixBlock:
        """The block that a text describes.

        Raises
        ------
        ConfigError
            if it does not follow the notation.
        """
        lists = {key: list(map(int, found.split("."))) for key, found in re.findall(r"_([kap])(\d+(?:\.\d+)+)", text)}
        plain = re.sub(r"_[ap]\d+(?:\.\d+)+|_nsw", "", re.sub(r"_k(\d+)(?:\.\d+)+", r"_k\1", text))
        try:
            base = MobileBlock.parse(plain, model)
        except ConfigError:
            example = "expected a notation like ir_r3_k3.5_a1.1_p1.1_s1_e6_c40_se0.5_nsw"
            raise ConfigError(f'{model}: block "{text}": {example}') from None
        return cls(
            **vars(base), kernels=tuple(lists.get("k", [base.kernel])), expand_parts=len(lists.get("a", "1")),
            project_parts=len(lists.get("p", "1")), silu="_nsw" in text,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MixNet(MobileNet):
    """A :class:`MobileNet` of :class:`MixBlock` stages.

    References
    ----------
    .. [1] M. Tan, Q. Le, "MixConv: Mixed Depthwise Convolutional Kernels", arXiv 1907.09595.
    """

    notation: ClassVar[type[MobileBlock]] = MixBlock

    def _block(self, net: Net, x: str, block: MobileBlock) -> str:
        assert isinstance(block, MixBlock)
        act = "silu" if block.silu else self.act
        width, out = net.channels(x), self.multiplied(block.channels)
        y = x
        if block.kind == "ir":
            y = self._in_parts(net, "expand", x, round_channels(width * block.expansion), (1,) * block.expand_parts, 1)
            y = net.act("expand.act", y, act)
        y = self._depthwise(net, y, block)
        y = self._squeezed(net, net.act("depthwise.act", y, act), block, act)
        y = self._in_parts(net, "project", y, out, (1,) * block.project_parts, 1)
        return net.add("residual", y, x) if block.skip and block.stride == 1 and width == out else y

    def _depthwise(self, net: Net, x: str, block: MixBlock) -> str:
        return self._in_parts(net, "depthwise", x, net.channels(x), block.kernels, block.stride, depthwise=True)

    @staticmethod
    def _in_parts(
        net: Net, name: str, x: str, out: int, kernels: tuple[int, ...], stride: int, *, depthwise: bool = False
    ) -> str:
        """One convolution per kernel on its share of the channels, side by side, and a norm."""
        count = len(kernels)
        if count == 1:
            return net.conv_norm(name, x, out, kernels[0], stride, groups=out if depthwise else 1, act="")
        parts = net.split(f"{name}.split", x, shares(net.channels(x), count))
        made = [
            net.conv_norm(f"{name}.{i}", part, wide, kernel, stride, groups=wide if depthwise else 1, act="")
            for i, (part, wide, kernel) in enumerate(zip(parts, shares(out, count), kernels, strict=True))
        ]  # a norm per part is the norm of all parts: it works channel by channel
        return net.join(f"{name}.join", *made)


def shares(channels: int, count: int) -> tuple[int, ...]:
    """Equal shares; the first takes what is left over."""
    each = channels // count
    return (channels - each * (count - 1), *(each,) * (count - 1))
