"""VMamba: selective scans over feature maps in four directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.ops import (
    CrossMerge,
    CrossScan,
    Elementwise,
    HeadLinear,
    Linear,
    MergeNeighbours,
    SelectiveScan,
    Split,
    ToMap,
)
from perfsim.quantities.numbers import Number, ceil_div

__all__ = ["VMamba", "scan_mixer"]


@dataclass(frozen=True, kw_only=True)
class VMamba(VisionModel):
    """Patches, four stages of scan blocks without perceptrons, 2×2 merging between them (the first version, VSSM).

    hidden: width of the first stage, doubled by each merge; depths; state: entries of the state of one channel;
    expansion: inner channels of a block; patch.

    References
    ----------
    .. [1] Y. Liu et al., "VMamba: Visual State Space Model", arXiv 2401.10166.
    """

    hidden: int
    depths: tuple[int, ...]
    state: int = 16
    expansion: int = 2
    patch: int = 4

    width_fields: ClassVar[tuple[str, ...]] = ("hidden",)
    width_multiple: ClassVar[int] = 16
    depth_fields: ClassVar[tuple[str, ...]] = ("depths",)

    def layers(self, net: Net, image: str) -> None:
        """Patches, stages, head."""
        x = net.conv("patches", image, self.hidden, self.patch, self.patch, padding=0, bias=True, tokens=True)
        x = net.layer_norm("patches.norm", x)
        side: Number = ceil_div(net.step.image_size, self.patch)
        for stage, depth in enumerate(self.depths):
            if stage:
                x = net.builder.add(MergeNeighbours, f"stages.{stage}.merge", (x,), side=side)
                x = net.layer_norm(f"stages.{stage}.merge.norm", x)
                x = net.linear(f"stages.{stage}.reduce", x, net.channels(x) // 2, bias=False)
                side = ceil_div(side, 2)
            with net.block(f"stages.{stage}.blocks", depth):
                x = net.add("residual", scan_mixer(net, net.layer_norm("norm", x), side, self.state, self.expansion), x)
        net.classifier(net.layer_norm("norm", x), self.classes)


def scan_mixer(net: Net, x: str, side: Number, state: int, expansion: int, step: int = 1) -> str:
    """Scan block of (batch, side², width) without its norm and residual; ``step``: of the visited rows and columns."""
    b, width = net.builder, net.channels(x)
    inner, rank = expansion * width, -(-width // 16)
    weights = tuple(net.weight(f"mixer.{part}.weight", width, inner) for part in ("x", "z"))
    u, z = b.add(Linear, "mixer.in", (x, *weights), outputs=("x", "z"))
    u = b.add(ToMap, "mixer.map", (u,), spatial=(side, side))
    u = net.act("mixer.conv.act", net.conv("mixer.conv", u, inner, 3, groups=inner, bias=True), "silu")
    orders = b.add(CrossScan, "mixer.orders", (u,), step=step)
    sizes = (rank, state, state)
    parts = b.add(HeadLinear, "mixer.parts", (orders, net.weight("mixer.parts.weight", inner, 4, sum(sizes))))
    low, read, write = b.add(Split, "mixer.split", (parts,), outputs=("dt", "b", "c"), sizes=sizes, axis=3)
    dt = b.add(HeadLinear, "mixer.dt", (low, net.weight("mixer.dt.weight", rank, 4, inner)))
    dt = b.add(Elementwise, "mixer.dt.act", (dt, net.weight("mixer.dt.bias", 4, inner)), function="softplus")
    a, d = net.weight("mixer.a", 4, inner, state), net.weight("mixer.d", 4, inner)
    scanned = (orders, dt, a, read, write, d)
    y = b.add(
        CrossMerge, "mixer.merge", (b.add(SelectiveScan, "mixer.scan", scanned),), positions=side**2 if step > 1 else 0
    )
    y = b.add(Elementwise, "mixer.gate", (net.layer_norm("mixer.norm", y), z), function="silu-gate")
    return net.linear("mixer.out", y, width, bias=False)
