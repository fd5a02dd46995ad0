"""Mixed precision: some layers in fewer bits than others."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import OperatorGraph
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.products import layer_products, nothing_stored
from perfsim.techniques.quantization.packing import Packing, integer_format, pack_weights, unknown_width
from perfsim.techniques.quantization.selection import split_layers
from perfsim.workloads import Plan

__all__ = ["MixedPrecision"]


@dataclass(frozen=True, kw_only=True)
class MixedPrecision(GraphRewrite):
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
    group: int = parameter(128, "weights that share a scale", least=1, most=65536)

    name = "mixed-precision"
    reference = "arXiv 1911.03852"
    idempotent = False
    neutral = {"share": 0.0, "other": 16}

    def requires(self, plan: Plan, context: Context) -> str | None:
        return unknown_width(self.bits, self.other) or nothing_stored(phase.graph for phase in plan.phases)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        graph, narrow = split_layers(graph, self.share)
        packings = {}
        for op in layer_products(graph):
            bits = self.bits if op.name in narrow else self.other
            if bits < 16:
                packings[op.name] = Packing(integer_format(bits=bits, group=self.group))
        return pack_weights(graph, packings)
