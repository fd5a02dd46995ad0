"""EfficientVMamba: sparse scans beside a convolution in the early stages, inverted residuals in the late ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.vmamba import scan_mixer
from perfsim.ops import Linear, MergeNeighbours, Norm, ToMap, ToTokens
from perfsim.quantities.numbers import Number, ceil_div

__all__ = ["EfficientVMamba"]


@dataclass(frozen=True, kw_only=True)
class EfficientVMamba(VisionModel):
    """Patches, two stages of scans of every second row and column with a convolution beside them, two of residuals.

    hidden: width of the first stage, doubled by each merge; depths; state, expansion: of the scans; patch.

    References
    ----------
    .. [1] X. Pei, T. Huang, C. Xu, "EfficientVMamba", arXiv 2403.09977.
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
        b = net.builder
        x = net.conv("patches", image, self.hidden, self.patch, self.patch, padding=0, bias=True, tokens=True)
        x = net.layer_norm("patches.norm", x)
        side: Number = ceil_div(net.step.image_size, self.patch)
        for stage, depth in enumerate(self.depths):
            if stage:
                x = b.add(MergeNeighbours, f"stages.{stage}.merge", (x,), side=side)
                x = net.layer_norm(f"stages.{stage}.merge.norm", x)
                x = net.linear(f"stages.{stage}.reduce", x, net.channels(x) // 2, bias=False)
                side = ceil_div(side, 2)
            with net.block(f"stages.{stage}.blocks", depth):
                x = self._scan(net, x, side) if stage < 2 else self._residual(net, x, side)
        net.classifier(net.layer_norm("norm", x), self.classes)

    def _scan(self, net: Net, x: str, side: Number) -> str:
        b, width = net.builder, net.channels(x)
        y = net.layer_norm("norm", x)
        scanned = scan_mixer(net, y, side, self.state, self.expansion, step=2)
        local = b.add(ToMap, "local.map", (y,), spatial=(side, side))
        local = net.conv_norm("local.depthwise", local, width, 3, groups=width, act="gelu", bias=True)
        local = b.add(ToTokens, "local.tokens", (net.conv("local.mix", local, width, bias=True),))
        gate = self._gate_weights(net, width)
        branches = (self._gated(net, "scan.gate", scanned, gate), self._gated(net, "local.gate", local, gate))
        both = net.combine("branches", *branches)
        return net.add("residual", both, x)

    @staticmethod
    def _gate_weights(net: Net, width: int) -> dict[str, str]:
        """One set of weights, which gates both branches."""
        shapes = {
            "norm.weight": (width,), "norm.bias": (width,), "reduce.weight": (width, width // 8),
            "reduce.bias": (width // 8,), "expand.weight": (width // 8, width), "expand.bias": (width,),
        }  # fmt: skip
        return {name: net.weight(f"gate.{name}", *shape) for name, shape in shapes.items()}

    @staticmethod
    def _gated(net: Net, name: str, x: str, weights: dict[str, str]) -> str:
        """Channels gated by their own mean, to an eighth and back."""
        b = net.builder
        y = b.add(Norm, f"{name}.norm", (x, weights["norm.weight"], weights["norm.bias"]), function="layernorm")
        y = net.global_pool(f"{name}.pool", y)
        for part, act in (("reduce", "gelu"), ("expand", "sigmoid")):
            y = b.add(Linear, f"{name}.{part}", (y, weights[f"{part}.weight"]))
            y = net.combine(f"{name}.{part}.bias", y, weights[f"{part}.bias"], "bias")
            y = net.act(f"{name}.{part}.act", y, act)
        return net.combine(f"{name}.multiply", x, y, "multiply")

    @staticmethod
    def _residual(net: Net, x: str, side: Number) -> str:
        b, width = net.builder, net.channels(x)
        middle = 4 * width
        y = net.conv_norm("expand", b.add(ToMap, "map", (x,), spatial=(side, side)), middle)
        y = net.conv_norm("depthwise", y, middle, 3, groups=middle)
        y = net.conv_norm("project", net.squeeze_excite("se", y, middle // 8), width, act="")
        return net.add("residual", b.add(ToTokens, "tokens", (y,)), x)
