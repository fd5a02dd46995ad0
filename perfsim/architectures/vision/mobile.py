"""Networks of inverted residuals: MobileNet v1-v3, MNASNet, EfficientNet v1 and v2, FBNet, LCNet and their kin."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.rounding import round_channels
from perfsim.errors import ConfigError

__all__ = ["MobileBlock", "MobileNet"]

_KINDS = ("ds", "dsa", "ir", "er", "cn")


@dataclass(frozen=True)
class MobileBlock:
    """A block, written like ``ir_r3_k5_s2_e6_c40_se0.25``.

    kind: ``ds`` depthwise and pointwise, ``dsa`` the same with a second activation, ``ir`` inverted residual (expand,
    depthwise, project), ``er`` fused inverted residual (k×k expand, project), ``cn`` plain convolution; r repeats;
    k kernel; s stride of the first repetition; e expansion; c output channels; se squeeze-and-excite as a share of
    channels; fc expansion counted from so many channels; ``nre`` activation is relu; ``noskip`` no residual; ``skip``
    a residual around a plain convolution.
    """

    kind: str
    repeats: int
    kernel: int
    stride: int
    expansion: float
    channels: int
    squeeze: float
    expand_from: int
    relu: bool
    skip: bool

    @classmethod
    def parse(cls, text: str, model: str) -> MobileBlock:
        """The block that a text describes.

        Raises
        ------
        ConfigError
            if it does not follow the notation.
        """
        kind, *parts = text.split("_")
        options: dict[str, float] = {}
        for part in parts:
            match = re.fullmatch(r"(se|fc|[rksec])(\d+(?:\.\d+)?)|(nre|noskip|skip)", part)
            if match is None:
                kind = ""
                break
            options[match[1] or match[3]] = float(match[2] or 1)
        if kind not in _KINDS or not {"r", "k", "s", "c"} <= options.keys():
            raise ConfigError(f'{model}: block "{text}": expected a notation like ir_r3_k5_s2_e6_c40_se0.25')
        skip = "skip" in options if kind == "cn" else "noskip" not in options
        whole = {name: int(options.get(name, 0)) for name in ("r", "k", "s", "c", "fc")}
        return cls(
            kind, whole["r"], whole["k"], whole["s"], options.get("e", 1.0), whole["c"], options.get("se", 0.0),
            whole["fc"], "nre" in options, skip,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MobileNet(VisionModel):
    """Stem, stages of blocks, head.

    stages: blocks of each stage in the notation of :class:`MobileBlock`; width, depth: multipliers of channels and
    repeats; depth_rounding: ``ceil`` or ``round``; fixed_ends: first and last stage keep their repeats; round_limit:
    rounded channels may not fall below this share; stem_channels, fixed_stem (not scaled); head_channels: of the last
    1×1 convolution, 0 for none; fixed_head: not scaled; least_head: scaled, but not below; late_head: it follows the
    global mean, with a bias (head_bias) and without a norm; act: activation; squeeze_from: ``input`` or ``expanded``
    channels; squeeze_multiple: squeezed channels are rounded to it; squeeze_act, gate: inside the squeeze-and-excite.

    References
    ----------
    .. [1] A. Howard et al., arXiv 1704.04861. [2] M. Sandler et al., arXiv 1801.04381. [3] A. Howard et al.,
       arXiv 1905.02244. [4] M. Tan et al., arXiv 1807.11626. [5] M. Tan, Q. Le, arXiv 1905.11946, 2104.00298.
    """

    stages: tuple[tuple[str, ...], ...]
    width: float = 1.0
    depth: float = 1.0
    depth_rounding: str = "ceil"
    fixed_ends: bool = False
    round_limit: float = 0.9
    stem_channels: int = 32
    fixed_stem: bool = False
    head_channels: int = 1280
    fixed_head: bool = False
    least_head: bool = False
    late_head: bool = False
    head_bias: bool = True
    act: str = "relu"
    squeeze_from: str = "input"
    squeeze_multiple: int = 1
    squeeze_act: str = ""
    gate: str = "sigmoid"

    notation: ClassVar[type[MobileBlock]] = MobileBlock
    choices: ClassVar = (("depth_rounding", ("ceil", "round")), ("squeeze_from", ("input", "expanded")))

    def _wider(self, factor: float) -> dict[str, Any]:
        return {"width": self.width * factor}

    def _deeper(self, factor: float) -> dict[str, Any]:
        return {"depth": self.depth * factor}

    def multiplied(self, channels: int) -> int:
        """Channels times the width multiplier, rounded to a multiple of 8."""
        return round_channels(channels * self.width, limit=self.round_limit)

    def layers(self, net: Net, image: str) -> None:
        """Stem, stages, head."""
        stem = self.stem_channels if self.fixed_stem else self.multiplied(self.stem_channels)
        x = net.conv_norm("stem", image, stem, 3, 2, act=self.act)
        for stage, index, block, count in self._blocks():
            with net.block(f"blocks.{stage}.{index}", count):
                x = self._block(net, x, block)
        if self.late_head:
            x = net.linear("head.conv", net.global_pool("head.pool", x), self._head(), self.head_bias)
            net.linear("head", net.act("head.conv.act", x, self.act), self.classes)
        else:
            if self.head_channels:
                x = net.conv_norm("head.conv", x, self._head(), act=self.act)
            net.classifier(x, self.classes)

    def _head(self) -> int:
        if self.fixed_head:
            return self.head_channels
        scaled = self.multiplied(self.head_channels)
        return max(self.head_channels, scaled) if self.least_head else scaled

    def _blocks(self) -> Iterator[tuple[int, int, MobileBlock, int]]:
        """(stage, first index, block, count) with equal neighbours in one; only a stage's first block has a stride."""
        for stage, texts in enumerate(self.stages):
            blocks = [self.notation.parse(text, self.name) for text in texts]
            fixed = self.fixed_ends and stage in (0, len(self.stages) - 1)
            repeats = _scaled_repeats([b.repeats for b in blocks], 1.0 if fixed else self.depth, self.depth_rounding)
            index = 0
            for block, count in zip(blocks, repeats, strict=True):
                here = block if index == 0 else replace(block, stride=1)
                yield stage, index, here, 1
                if count > 1:
                    yield stage, index + 1, replace(block, stride=1), count - 1
                index += count

    def _block(self, net: Net, x: str, block: MobileBlock) -> str:
        act = "relu" if block.relu else self.act
        width, out = net.channels(x), self.multiplied(block.channels)
        middle = round_channels(width * block.expansion)
        if block.kind == "cn":
            y = net.conv_norm("conv", x, out, block.kernel, block.stride, act=act)
        elif block.kind == "er":
            if block.expand_from:
                middle = round_channels(self.multiplied(block.expand_from) * block.expansion)
            y = net.conv_norm("expand", x, middle, block.kernel, block.stride, act=act)
            y = net.conv_norm("project", self._squeezed(net, y, block, act), out, act="")
        else:
            y = x
            if block.kind == "ir":
                y = net.conv_norm("expand", x, middle, act=act)
            channels = net.channels(y)
            y = net.conv_norm("depthwise", y, channels, block.kernel, block.stride, groups=channels, act=act)
            y = self._squeezed(net, y, block, act)
            y = net.conv_norm("project", y, out, act=act if block.kind == "dsa" else "")
        residual = block.skip and block.stride == 1 and width == out and block.kind != "dsa"
        return net.add("residual", y, x) if residual else y

    def _squeezed(self, net: Net, y: str, block: MobileBlock, act: str) -> str:
        if not block.squeeze:
            return y
        channels = net.channels(y)
        share = block.squeeze if self.squeeze_from == "expanded" else block.squeeze / block.expansion
        wanted = channels * share
        squeezed = round(wanted)
        if self.squeeze_multiple > 1:
            squeezed = round_channels(wanted, self.squeeze_multiple, self.round_limit)
        return net.squeeze_excite("se", y, squeezed, self.squeeze_act or act, self.gate)


def _scaled_repeats(repeats: list[int], depth: float, rounding: str) -> list[int]:
    """Repeats of a stage's blocks times ``depth``; the total is rounded, then shared from the last block backwards."""
    total = sum(repeats)
    left = max(1, round(total * depth)) if rounding == "round" else math.ceil(total * depth)
    result = []
    for count in reversed(repeats):
        scaled = max(1, round(count / total * left))
        result.append(scaled)
        total -= count
        left -= scaled
    return result[::-1]
