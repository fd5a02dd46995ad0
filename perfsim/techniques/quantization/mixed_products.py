"""Mixed precision of whole products: a share of the layers multiplies in a narrow format."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import OperatorGraph
from perfsim.quantities.dtypes import DTYPES
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.products import nothing_stored
from perfsim.techniques.quantization.narrowing import narrow_products
from perfsim.techniques.quantization.selection import split_layers
from perfsim.workloads import Plan

__all__ = ["MixedProducts"]


@dataclass(frozen=True, kw_only=True)
class MixedProducts(GraphRewrite):
    """Weights and activations of a ``share`` of the layers in ``format``; the other layers stay as they are.

    Each chosen product runs at the device's peak for the format, behind a quantisation of its input. A second
    application with another format and a larger share gives three precisions: what is narrow already stays so.

    References
    ----------
    .. [1] K. Wang et al., "HAQ", arXiv 1811.08886.
    """

    share: float = parameter(0.5, "layers that multiply in `format`, over all", least=0.0, most=1.0)
    format: str = parameter("int8", "number format of their products", choices=tuple(DTYPES))

    name = "mixed-precision-products"
    reference = "arXiv 1811.08886"
    idempotent = False
    neutral = {"share": 0.0}

    def requires(self, plan: Plan, context: Context) -> str | None:
        device = context.system.device
        if self.format not in device.formats:
            return f"{device.key} multiplies no matrices in {self.format}; it computes in {', '.join(device.formats)}"
        return nothing_stored(phase.graph for phase in plan.phases)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        graph, chosen = split_layers(graph, self.share)
        return narrow_products(graph, chosen, DTYPES[self.format], DTYPES[self.format])
