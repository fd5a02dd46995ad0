"""Mixed precision: some layers in fewer bits than others."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import OperatorGraph
from perfsim.techniques.base import Context, parameter
from perfsim.techniques.products import layer_products, nothing_stored
from perfsim.techniques.quantization.packing import Packing, pack_weights
from perfsim.techniques.quantization.selection import split_layers
from perfsim.techniques.quantization.two_widths import TwoWidths
from perfsim.workloads import Plan

__all__ = ["MixedPrecision"]


@dataclass(frozen=True, kw_only=True)
class MixedPrecision(TwoWidths):
    """A ``share`` of the layers with weights in ``bits`` bits, the others in ``other`` bits.

    Which layers they are does not matter to the cost as long as layers are equal; the first ones are taken. Every
    matrix is dequantised in front of its product, as in weight-only quantisation, with a 16-bit scale and a zero point
    per ``group``. ``other`` 16 leaves the other layers as they are. Weighted bits per weight: share·bits +
    (1 − share)·other, plus scales. That the sensitive layers are among the wide ones is for the user to declare.

    References
    ----------
    .. [1] Z. Dong et al., "HAWQ-V2", arXiv 1911.03852.
    """

    share: float = parameter(0.5, "layers that get `bits`, over all", least=0.0, most=1.0)
    bits: int = parameter(4, "bits per weight of the narrow layers", unit="bit", least=1, most=8)
    other: int = parameter(8, "bits per weight of the other layers; 16 leaves them", unit="bit", least=1, most=16)

    name = "mixed-precision"
    reference = "arXiv 1911.03852"

    def requires(self, plan: Plan, context: Context) -> str | None:
        return super().requires(plan, context) or nothing_stored(phase.graph for phase in plan.phases)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        graph, chosen = split_layers(graph, self.share)
        formats = {op.name: self.narrow if op.name in chosen else self.wide for op in layer_products(graph)}
        return pack_weights(graph, {name: Packing(stored) for name, stored in formats.items() if stored is not None})
