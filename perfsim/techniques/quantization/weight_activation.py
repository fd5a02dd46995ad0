"""Weight and activation quantisation: products run in a narrow format."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import OperatorGraph
from perfsim.quantities.dtypes import DTYPES
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.products import layer_products
from perfsim.techniques.quantization.narrowing import narrow_products
from perfsim.workloads import Plan

__all__ = ["WeightActivationQuantization"]


@dataclass(frozen=True, kw_only=True)
class WeightActivationQuantization(GraphRewrite):
    """Products of the layers with weights and activations in ``format``; sums and everything else as before.

    In front of every product its input is quantised: read in the old format, written in the new one with a 32-bit scale
    per ``group`` values (in the same kernel as the producer if the stack fuses ``...+quantize``). The product runs
    at the device's peak for the format; scaling the sums back is part of its last step and not charged. Weights may be
    narrower than the activations (``weights``); they are widened inside the kernel.

    References
    ----------
    .. [1] G. Xiao et al., "SmoothQuant", arXiv 2211.10438.
    """

    format: str = parameter("int8", "number format of the products", choices=tuple(DTYPES))
    weights: str = parameter("", "number format of stored weights; empty is that of the products", unit="name")
    group: int = parameter(0, "values of a row that share a scale; 0 is one scale per row", least=0, most=65536)

    name = "weight-activation-quantization"
    reference = "arXiv 2211.10438"

    def requires(self, plan: Plan, context: Context) -> str | None:
        device = context.system.device
        if self.weights and self.weights not in DTYPES:
            return f'weights="{self.weights}" is not a number format; known: {", ".join(DTYPES)}'
        if self.format not in device.formats:
            known = ", ".join(device.formats)
            return f"{device.key} multiplies no matrices in {self.format}; it computes in {known}"
        return None

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        """Quantised copies of the inputs of all products, one per tensor; weights in their format."""
        chosen = {op.name for op in layer_products(graph)}
        return narrow_products(graph, chosen, DTYPES[self.format], DTYPES[self.weights or self.format], self.group)
