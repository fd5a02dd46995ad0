"""EfficientViM: state-space duality with the channels mixed in the few hidden states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.architectures.vision.rounding import round_channels
from perfsim.architectures.vision.shvit import local_mixer, patch_stem, perceptron
from perfsim.ops import Elementwise, Softmax, Split, ToMap, ToTokens
from perfsim.ops.product import Contraction
from perfsim.quantities.numbers import Number

__all__ = ["EfficientViM"]


@dataclass(frozen=True, kw_only=True)
class EfficientViM(VisionModel):
    """Four strided convolutions, three stages of hidden-state mixers, one head per stage and one on the last map.

    depths, widths: per stage; states: hidden states per stage.

    References
    ----------
    .. [1] S. Lee, J. Choi, H. J. Kim, "EfficientViM", arXiv 2411.15241.
    """

    depths: tuple[int, ...] = (2, 2, 2)
    widths: tuple[int, ...]
    states: tuple[int, ...] = (49, 25, 9)

    width_fields: ClassVar[tuple[str, ...]] = ("widths",)
    depth_fields: ClassVar[tuple[str, ...]] = ("depths",)

    def layers(self, net: Net, image: str) -> None:
        """Patches, stages with a merge between them, heads."""
        x, features = patch_stem(net, image, self.widths[0]), []
        for stage, (depth, width, states) in enumerate(zip(self.depths, self.widths, self.states, strict=True)):
            if stage:
                x = self._merge(net, f"stages.{stage}.merge", x, width)
            with net.block(f"stages.{stage}.blocks", depth):
                x, hidden = self._block(net, x, states)
            features.append((f"head.{stage}", net.layer_norm(f"head.{stage}.norm", hidden)))
        features.append(("head.map", net.layer_norm("head.map.norm", x)))
        net.weight("head.weights", len(features))
        logits = [net.linear(name, net.global_pool(f"{name}.pool", y), self.classes) for name, y in features]
        net.builder.add(Elementwise, "head.sum", tuple(logits), function="add")

    @staticmethod
    def _merge(net: Net, name: str, x: str, width: int) -> str:
        x = local_mixer(net, f"{name}.before", x)
        y = net.conv_norm(f"{name}.expand", x, 4 * width)
        y = net.conv_norm(f"{name}.depthwise", y, 4 * width, 3, 2, groups=4 * width)
        y = net.squeeze_excite(f"{name}.se", y, round_channels(width, 8, 0.0))
        return local_mixer(net, f"{name}.after", net.conv_norm(f"{name}.project", y, width, act=""))

    def _block(self, net: Net, x: str, states: int) -> tuple[str, str]:
        width = net.channels(x)
        gates = net.weight("gates", 4, width)
        x = self._gated(net, "local0", net.conv_norm("local0", x, width, 3, groups=width, act=""), x, gates)
        y, hidden = self._mixer(net, net.layer_norm("mixer.norm", x), states)
        x = self._gated(net, "mixer", y, x, gates)
        x = self._gated(net, "local1", net.conv_norm("local1", x, width, 3, groups=width, act=""), x, gates)
        return self._gated(net, "mlp", perceptron(net, "mlp", x, 4), x, gates), hidden

    @staticmethod
    def _gated(net: Net, name: str, y: str, x: str, gates: str) -> str:
        """The input plus gate · (y − x)."""
        made: str = net.builder.add(Elementwise, f"{name}.gated", (y, x, gates), function="combine")
        return made

    @staticmethod
    def _mixer(net: Net, x: str, states: int) -> tuple[str, str]:
        """Tokens summed into hidden states, the channels mixed there, the states spread over the tokens again."""
        b, width, spatial = net.builder, net.channels(x), net.builder.shape(x)[2:]
        bcd = net.conv("mixer.dual.depthwise", net.conv("mixer.dual", x, 3 * states), 3 * states, 3, groups=3 * states)
        parts = net.split("mixer.split", bcd, (states,) * 3)
        into, out, steps = (b.add(ToTokens, f"mixer.{n}", (p,)) for n, p in zip("bcd", parts, strict=True))
        decay = net.combine("mixer.decay", steps, net.weight("mixer.a", states))
        weights = net.combine("mixer.into", b.add(Softmax, "mixer.softmax", (decay,)), into, "multiply")
        hidden = _product(net, "mixer.sum", weights, b.add(ToTokens, "mixer.tokens", (x,)), states)
        gate = net.linear("mixer.gate", hidden, 2 * width, bias=False)
        h, z = b.add(Split, "mixer.gate.split", (gate,), outputs=("h", "z"), sizes=(width, width), axis=2)
        gated = b.add(Elementwise, "mixer.gate.act", (h, z, net.weight("mixer.d", 1)), function="silu-gate")
        hidden = net.linear("mixer.project", gated, width, bias=False)
        spread = _product(net, "mixer.spread", out, hidden, b.shape(out)[1])
        return b.add(ToMap, "mixer.map", (spread,), spatial=spatial), hidden


def _product(net: Net, name: str, weights: str, values: str, rows: Number) -> str:
    """Sums of ``values`` (batch, n, width), one per row, with ``weights`` in either order of their axes."""
    batch, summed, width = net.builder.shape(values)
    made: str = net.builder.add(
        Contraction, name, (weights, values), shapes=((batch, rows, width),), batch=batch, m=rows, n=width, k=summed
    )
    return made
