"""Look-up-table kernels: products with bit planes of weights, without unpacking them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph
from perfsim.ops import Linear
from perfsim.ops.codebook import LookupProduct
from perfsim.quantities.dtypes import DType
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.products import layer_products, nothing_stored, stored_weights
from perfsim.techniques.quantization.packing import Packing, grouped_bits, pack_weights
from perfsim.workloads import Plan

__all__ = ["LookupKernel"]


@dataclass(frozen=True, kw_only=True)
class LookupKernel(PlanRewrite):
    """Weights as ``bits`` bit planes with a 16-bit scale per plane and ``group``, multiplied by table look-ups.

    In decode, every ``span`` activations make a table of their 2^span signed sums in on-chip memory, and each plane of
    weights indexes it: no multiplication, no unpacking, work proportional to bits/span, done by the vector unit. In
    all other phases weights are dequantised and multiplied densely, as the paper does for prompts. The tables of one
    product must fit the on-chip memory, which is taken for granted; bank conflicts are left out.

    References
    ----------
    .. [1] G. Park et al., "LUT-GEMM", arXiv 2206.09557.
    """

    bits: int = parameter(4, "bit planes per weight", unit="bit", least=1, most=8)
    group: int = parameter(128, "weights that share a scale per plane", least=1, most=65536)
    span: int = parameter(8, "activations per table", least=1, most=12)

    name = "lookup-kernel"
    reference = "arXiv 2206.09557"
    idempotent = False

    def requires(self, plan: Plan, context: Context) -> str | None:
        if not any(phase.stage == "decode" for phase in plan.phases):
            return "the job has no decode steps, and look-ups pay for single rows only; use weight-quantization"
        return nothing_stored(phase.graph for phase in plan.phases)

    @property
    def stored(self) -> DType:
        """Bits per weight: planes and their scales."""
        bits = grouped_bits(bits=self.bits, group=self.group, per_group=16 * self.bits)
        return DType(f"planes{self.bits}-group{self.group}", bits, "int")  # type: ignore[arg-type]

    def apply(self, plan: Plan, context: Context) -> Plan:
        phases = [
            replace(p, graph=self._looked_up(p.graph) if p.stage == "decode" else self._unpacked(p.graph))
            for p in plan.phases
        ]
        return plan.replace(phases=tuple(phases))

    def _unpacked(self, graph: OperatorGraph) -> OperatorGraph:
        return pack_weights(graph, {op.name: Packing(self.stored) for op in layer_products(graph)})

    def _looked_up(self, graph: OperatorGraph) -> OperatorGraph:
        chosen = {op.name for op in layer_products(graph) if isinstance(op, Linear)}
        tensors = dict(graph.tensors)
        for op in layer_products(graph):
            for name in stored_weights(op, graph) if op.name in chosen else ():
                if tensors[name].dtype.bits > self.stored.bits:
                    tensors[name] = tensors[name].replace(dtype=self.stored)
        operators = tuple(self._product(op) if op.name in chosen else op for op in graph.operators)
        return self._unpacked(replace(graph, tensors=tensors, operators=operators))

    def _product(self, op: Operator) -> Operator:
        return LookupProduct(op.name, op.inputs, op.outputs, op.region, op, self.bits, self.span, self.group)
