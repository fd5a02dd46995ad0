"""Weight-only quantisation: weights are stored in few bits and multiplied in the format of the activations."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph, Role
from perfsim.ops import Dequantize, ExpertLinear, HeadLinear, Linear
from perfsim.quantities.dtypes import DType
from perfsim.techniques.base import INTEGER_FORMATS, Context, GraphRewrite, parameter

__all__ = ["WeightQuantization"]


@dataclass(frozen=True, kw_only=True)
class WeightQuantization(GraphRewrite):
    """Weights of the layers in ``bits`` bits with one 16-bit scale (and zero point) per ``group``.

    Embedding, head, norms and biases keep their format. Each matrix is dequantised where it is used: inside the
    matrix kernel if the stack has a kernel for ``dequantize+linear``, else through main memory.

    References
    ----------
    .. [1] E. Frantar et al., "GPTQ", arXiv 2210.17323. [2] J. Lin et al., "AWQ", arXiv 2306.00978.
    """

    bits: int = parameter(4, "bits per stored weight", unit="bit", least=1, most=8)
    group: int = parameter(128, "weights that share a scale", least=1, most=65536)
    zero_point: int = parameter(1, "1 if each group stores a zero point of `bits` bits, else 0", least=0, most=1)

    name = "weight-quantization"
    reference = "arXiv 2306.00978"
    idempotent = False

    def requires(self, plan: object, context: Context) -> str | None:
        return None if self.bits in INTEGER_FORMATS else f"no integer format has {self.bits} bits"

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        """Weights in the stored format, and one dequantisation in front of every product with them."""
        per_weight = self.bits + (16 + self.bits * self.zero_point) / self.group
        stored = DType(f"{INTEGER_FORMATS[self.bits]}-group{self.group}", per_weight, "int")  # type: ignore[arg-type]
        tensors, operators = dict(graph.tensors), list[Operator]()
        for op in graph.operators:
            packed: dict[str, str] = {}
            if op.region and isinstance(op, Linear | ExpertLinear | HeadLinear):
                weights = (name for name in op.inputs if tensors[name].role is Role.WEIGHT)
                packed = {name: f"{name}.dequantized" for name in weights if tensors[name].dtype.bits > per_weight}
            for name, unpacked in packed.items():
                tensors[unpacked] = tensors[name].replace(name=unpacked, role=Role.ACTIVATION)
                tensors[name] = tensors[name].replace(dtype=stored)
            product = replace(op, inputs=tuple(packed.get(name, name) for name in op.inputs))
            if packed:
                experts = product if isinstance(product, ExpertLinear) else None
                names = (tuple(packed), tuple(packed.values()))
                operators.append(Dequantize(f"{op.name}.dequantize", *names, op.region, experts))
            operators.append(product)
        return replace(graph, tensors=tensors, operators=tuple(operators))
