"""Bit switching: one stored tensor that can be run in any lower precision."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, OperatorGraph, Tensor
from perfsim.ops.codebook import BitPlaneDequantize
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.products import layer_products, nothing_stored
from perfsim.techniques.quantization.packing import Packing, integer_format, pack_weights, partial_reader, unknown_width
from perfsim.workloads import Plan

__all__ = ["BitSwitching"]


@dataclass(frozen=True, kw_only=True)
class BitSwitching(GraphRewrite):
    """Weights stored once in ``stored`` bits, bit plane by bit plane, and run in their leading ``bits``.

    Memory is that of the stored width for all widths together; a pass reads only the leading planes, the scales, and
    dequantises them in front of each product (in the matrix kernel where the stack has one). A lower width comes from
    rounding the stored one, so there is no second copy and switching moves no bytes.

    References
    ----------
    .. [1] H. Huang et al., "Nearly Lossless Adaptive Bit Switching", arXiv 2502.01199. [2] Y. Park et al.,
       "Any-Precision LLM", arXiv 2402.10517: the layout by bit planes.
    """

    stored: int = parameter(8, "bits per stored weight", unit="bit", least=1, most=8)
    bits: int = parameter(4, "leading bits that a pass reads", unit="bit", least=1, most=8)
    group: int = parameter(128, "weights that share a scale", least=1, most=65536)

    name = "bit-switching"
    reference = "arXiv 2502.01199"
    idempotent = False

    def requires(self, plan: Plan, context: Context) -> str | None:
        if self.bits > self.stored:
            return f"bits={self.bits} cannot be read of stored={self.stored} bits; use bits of at most {self.stored}"
        return unknown_width(self.stored) or nothing_stored(phase.graph for phase in plan.phases)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        stored = integer_format(bits=self.stored, group=self.group)
        return pack_weights(graph, {op.name: Packing(stored, self._leading) for op in layer_products(graph)})

    def _leading(
        self, op: Operator, weights: tuple[Tensor, ...], unpacked: tuple[str, ...]
    ) -> tuple[Operator, tuple[Tensor, ...]]:
        whole = integer_format(bits=self.stored, group=self.group).bits
        names = tuple(w.name for w in weights)
        read = (whole - (self.stored - self.bits)) / whole
        return BitPlaneDequantize(f"{op.name}.dequantize", names, unpacked, op.region, partial_reader(op), read), ()
