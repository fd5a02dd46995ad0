"""All weights as views into one short array."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.edit import exchanged
from perfsim.ops.shared_array import SharedArray
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.products import layer_products, nothing_stored, stored_weights
from perfsim.workloads import Plan

__all__ = ["ParameterSharing"]


@dataclass(frozen=True, kw_only=True)
class ParameterSharing(GraphRewrite):
    """The weights of the layers are chunks of one array, ``ratio`` times as long as all of them, found by a hash.

    Stored bytes shrink, operations stay. A product reads its weights from all over the array, whole memory sectors per
    ``chunk``, and the array once at most; only an array that stays in a cache saves time. The gather runs inside the
    matrix kernel where the stack has one for ``dequantize+linear``, else through main memory. With ratio 1 every weight
    keeps a place of its own, so nothing is hashed.

    References
    ----------
    .. [1] W. Chen et al., "HashedNets", arXiv 1504.04788. [2] A. Desai, A. Shrivastava, "In defense of parameter
       sharing for model-compression", arXiv 2310.11611.
    """

    ratio: float = parameter(0.1, "length of the array over all weights of the layers", least=1e-6, most=1.0)
    chunk: int = parameter(32, "consecutive weights that lie together", least=1, most=65536)

    name = "random-parameter-sharing"
    reference = "arXiv 2310.11611"
    idempotent = False
    neutral = {"ratio": 1.0}

    def requires(self, plan: Plan, context: Context) -> str | None:
        if context.system.count > 1:
            return "the shared array is not spread over devices; use count=1"
        return nothing_stored(phase.graph for phase in plan.phases)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        if self.ratio == 1:
            return graph
        products = layer_products(graph)
        hashed = [graph.tensors[name] for op in products for name in stored_weights(op, graph)]
        total = sum(t.elements * graph.count(t) for t in hashed)
        array = Tensor("shared_array", (max(1, round(total * self.ratio)),), hashed[0].dtype, Role.WEIGHT)

        def gathered(op: Operator, tensors: dict[str, Tensor]) -> list[Operator]:
            names = stored_weights(op, graph)
            shapes = tuple(tensors[name].shape for name in names)
            return [SharedArray(f"{op.name}.gather", (array.name,), names, op.region, shapes, self.chunk), op]

        activations = {t.name: t.replace(role=Role.ACTIVATION) for t in hashed}
        made = exchanged(graph, products, gathered)
        return replace(made, tensors={**made.tensors, array.name: array, **activations})
