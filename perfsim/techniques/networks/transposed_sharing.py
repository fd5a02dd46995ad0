"""One stored matrix for two products, the second time transposed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph, Tensor
from perfsim.ops import Conv, Linear
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.products import layer_products, nothing_stored, stored_weights
from perfsim.workloads import Plan

__all__ = ["TransposedSharing", "matrix_sides"]


def matrix_sides(weight: Tensor, op: Operator) -> tuple[int, int] | None:
    """Rows and columns of a weight as a matrix; None for kernels with several taps or groups [1]."""
    if isinstance(op, Linear):
        cut = op.contracted
        return math.prod(weight.shape[:cut]), math.prod(weight.shape[cut:])
    if isinstance(op, Conv) and weight.shape[0] == 1 and math.prod(weight.shape[3:]) == 1:
        return weight.shape[2], weight.shape[1]
    return None


@dataclass(frozen=True, kw_only=True)
class TransposedSharing(GraphRewrite):
    """Pairs of matrices of one layer, (k × n) and later (n × k), are one stored matrix, used again transposed.

    Stored weights of the pairs halve; operations and activations stay. Both products read the matrix, because the
    first one has left the chip by then: bytes read per pass do not shrink. A transposed read costs nothing extra in a
    matrix kernel, which loads either layout.

    References
    ----------
    .. [1] O. C. Koyun, B. U. Töreyin, "Do deep neural networks utilize the weight space efficiently?",
       arXiv 2401.16438.
    """

    pairs: int = parameter(1, "1 to share all pairs, 0 for none", least=0, most=1)

    name = "transposed-sharing"
    reference = "arXiv 2401.16438"
    neutral = {"pairs": 0}

    def requires(self, plan: Plan, context: Context) -> str | None:
        return nothing_stored(phase.graph for phase in plan.phases)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        tensors, waiting = dict(graph.tensors), list[tuple[str, str, tuple[int, int]]]()
        for op in layer_products(graph) if self.pairs else ():
            for name in stored_weights(op, graph):
                sides = matrix_sides(tensors[name], op)
                if sides is None or tensors[name].view_of:
                    continue
                match = next((w for w in waiting if w[0] == op.region and w[2] == sides[::-1]), None)
                if match is None:
                    waiting.append((op.region, name, sides))
                else:
                    waiting.remove(match)
                    tensors[name] = tensors[name].replace(view_of=match[1])
        return replace(graph, tensors=tensors)
