"""Experts of different width: some in few bits, others in more."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import OperatorGraph
from perfsim.ops import ExpertLinear
from perfsim.quantities.dtypes import DType
from perfsim.techniques.base import Context, parameter
from perfsim.techniques.products import layer_products
from perfsim.techniques.quantization.packing import Packing, pack_weights
from perfsim.techniques.quantization.two_widths import TwoWidths
from perfsim.workloads import Plan

__all__ = ["ExpertPrecision"]


@dataclass(frozen=True, kw_only=True)
class ExpertPrecision(TwoWidths):
    """A ``share`` of the experts of every layer in ``bits`` bits, the others in ``other`` bits.

    Tokens are taken to choose narrow and wide experts alike, so that stored and read bytes follow the mean width,
    share·bits + (1 − share)·other plus a 16-bit scale and a zero point per ``group``. Where routing prefers the wide
    experts, declare the share of the tokens that go to narrow ones for the time, that of the experts for the memory.

    References
    ----------
    .. [1] R. Yi et al., "EdgeMoE", arXiv 2308.14352, section 3.2.
    """

    share: float = parameter(0.5, "experts that get `bits`, over all of a layer", least=0.0, most=1.0)
    bits: int = parameter(2, "bits per weight of the narrow experts", unit="bit", least=1, most=8)
    other: int = parameter(4, "bits per weight of the other experts; 16 leaves them", unit="bit", least=1, most=16)

    name = "expert-precision"
    reference = "arXiv 2308.14352"

    def requires(self, plan: Plan, context: Context) -> str | None:
        routed = all(any(isinstance(op, ExpertLinear) for op in layer_products(p.graph)) for p in plan.phases)
        return super().requires(plan, context) or (None if routed else "it has no experts with stored weights")

    @property
    def stored(self) -> DType:
        """The mean width, scales and zero points included."""
        wide = 16 if self.wide is None else self.wide.bits
        bits = self.share * self.narrow.bits + (1 - self.share) * wide
        return DType(f"int{self.bits}-int{self.other}-group{self.group}", bits, "int")  # type: ignore[arg-type]

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        chosen = (op for op in layer_products(graph) if isinstance(op, ExpertLinear))
        return pack_weights(graph, {op.name: Packing(self.stored) for op in chosen})
