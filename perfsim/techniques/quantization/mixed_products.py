"""Mixed precision of whole products: a share of the layers multiplies in a narrow format."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, OperatorGraph
from perfsim.ops import Norm
from perfsim.quantities.dtypes import DTYPES
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.products import nothing_stored
from perfsim.techniques.quantization.narrow_maps import narrow_regions
from perfsim.techniques.quantization.narrowing import narrow_products
from perfsim.techniques.quantization.selection import split_layers
from perfsim.workloads import Plan

__all__ = ["MixedProducts"]


@dataclass(frozen=True, kw_only=True)
class MixedProducts(GraphRewrite):
    """Weights and activations of a ``share`` of the layers in ``format``; the other layers stay as they are.

    Each chosen product runs at the device's peak for the format, behind a quantisation of its input. A second
    application with another format and a larger share gives three precisions: what is narrow already stays so.

    With ``features`` inputs the sums come back in the old format and additions between branches stay in it; with all,
    the features between the chosen layers stay narrow, too, as engines for convolutional networks keep them. Networks
    with attention or norms, whose sums need more bits, are refused then.

    References
    ----------
    .. [1] K. Wang et al., "HAQ", arXiv 1811.08886.
    """

    share: float = parameter(0.5, "layers that multiply in `format`, over all", least=0.0, most=1.0)
    format: str = parameter("int8", "number format of their products", choices=tuple(DTYPES))

    features: str = parameter("inputs", "narrow features: inputs of products, or all", choices=("inputs", "all"))

    name = "mixed-precision-products"
    reference = "arXiv 1811.08886"
    idempotent = False
    neutral = {"share": 0.0}

    def requires(self, plan: Plan, context: Context) -> str | None:
        device = context.system.device
        if self.format not in device.formats:
            return f"{device.key} multiplies no matrices in {self.format}; it computes in {', '.join(device.formats)}"
        graphs = [phase.graph for phase in plan.phases]
        if self.features == "all" and any(_needs_bits(op) or not g.regions for g in graphs for op in g.operators):
            return "its layers have attention or norms, or are not repeated; use features=inputs"
        return nothing_stored(graphs)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        graph, chosen = split_layers(graph, self.share)
        if self.features == "all":
            regions = {op.region for op in graph.operators if op.name in chosen}
            return narrow_regions(graph, regions, DTYPES[self.format])
        return narrow_products(graph, chosen, DTYPES[self.format], DTYPES[self.format])


def _needs_bits(op: Operator) -> bool:
    return isinstance(op, Norm) or op.efficiency == "attention_efficiency"
