"""Integer inference: a whole network in a narrow format, and conversions at its ends and around what stays wide."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph
from perfsim.ops import Dequantize, Norm
from perfsim.quantities.dtypes import DTYPES
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.products import nothing_stored
from perfsim.techniques.quantization.narrow_maps import narrow_operators
from perfsim.workloads import Plan

__all__ = ["IntegerInference"]


@dataclass(frozen=True, kw_only=True)
class IntegerInference(GraphRewrite):
    """All features and weights of a network in ``format``, ranges known beforehand, as converters for processors do.

    The input is quantised once and the output turned back once. Operators in ``wide`` have no integer kernel: what they
    read is turned back to the old format, and what they write is quantised again, each conversion a pass of its own
    unless the stack fuses it. Rescaling the sums of a product belongs to its kernel. A job in the narrow format itself
    has the same layers without any conversion: its input and output are integers, too.

    References
    ----------
    .. [1] B. Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
       Inference", arXiv 1712.05877.
    """

    format: str = parameter("int8", "number format of features and weights", choices=tuple(DTYPES))
    wide: str = parameter("", "kinds of operators without such kernels, with +, e.g. silu+sigmoid", unit="names")

    name = "integer-inference"
    reference = "arXiv 1712.05877"
    idempotent = False

    def requires(self, plan: Plan, context: Context) -> str | None:
        device = context.system.device
        if self.format not in device.formats:
            return f"{device.key} multiplies no matrices in {self.format}; it computes in {', '.join(device.formats)}"
        operators = [op for phase in plan.phases for op in phase.graph.operators]
        if any(isinstance(op, Norm) or op.efficiency == "attention_efficiency" for op in operators):
            return "its layers have attention or norms, whose sums need more bits; use weight-activation-quantization"
        kinds = {op.fusion_kind for op in operators}
        unknown = next((name for name in self._wide if name not in kinds), None)
        if unknown is not None:
            return f'wide="{self.wide}": it has no "{unknown}"; its kinds are {", ".join(sorted(kinds))}'
        return nothing_stored(phase.graph for phase in plan.phases)

    @property
    def _wide(self) -> tuple[str, ...]:
        return tuple(filter(None, self.wide.split("+")))

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        narrow = DTYPES[self.format]
        names = {op.name for op in graph.operators if op.fusion_kind not in self._wide}
        ends = [n for op in graph.operators if op.name in names for n in op.outputs if not graph.consumers(n)]
        wide = {name: graph.tensors[name] for name in ends}
        graph = narrow_operators(graph, names, narrow)
        tensors, operators = dict(graph.tensors), list[Operator](graph.operators)
        for name, before in wide.items():
            if before.dtype.bits > narrow.bits and not before.region:
                tensors[f"{name}.wide"] = before.replace(name=f"{name}.wide")
                operators.append(Dequantize(f"{name}.convert", (name,), (f"{name}.wide",)))
        return replace(graph, tensors=tensors, operators=tuple(operators))
