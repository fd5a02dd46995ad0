"""Weight and activation quantisation: products run in a narrow format."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph, Tensor
from perfsim.ops.quantization import Quantize
from perfsim.quantities.dtypes import DTYPES, DType
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.products import layer_products, stored_weights
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
        tensors, operators = dict(graph.tensors), list[Operator]()
        copies: dict[str, str] = {}
        for op in graph.operators:
            if op.name not in chosen or tensors[op.inputs[0]].dtype.bits <= DTYPES[self.format].bits:
                operators.append(op)
                continue
            source = op.inputs[0]
            if source not in copies:
                copies[source] = f"{source}.quantized"
                tensors[copies[source]] = self._narrow(tensors[source], copies[source])
                operators.append(Quantize(f"{source}.quantize", (source,), (copies[source],), op.region))
            for name in stored_weights(op, graph):
                tensors[name] = tensors[name].replace(dtype=DTYPES[self.weights or self.format])
            operators.append(replace(op, inputs=(copies[source], *op.inputs[1:])))
        return replace(graph, tensors=tensors, operators=tuple(operators))

    def _narrow(self, tensor: Tensor, name: str) -> Tensor:
        narrow = DTYPES[self.format]
        per_row = tensor.shape[-1] if self.group == 0 else self.group
        scales = 32 / per_row if isinstance(per_row, int | float) else 0
        stored = DType(narrow.name, narrow.bits + scales, narrow.kind)  # type: ignore[arg-type]
        return tensor.replace(name=name, dtype=stored)
