"""A low-rank matrix plus a sparse one in place of weight matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.graph import Operator, OperatorGraph, Tensor
from perfsim.graph.edit import exchanged
from perfsim.ops import Elementwise, Linear
from perfsim.ops.block_linear import BlockLinear
from perfsim.ops.sparse import SparseProduct
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.factorization.chain import PARTS, matrices, refusal
from perfsim.techniques.sparsity.semi_structured import sparse_weights
from perfsim.techniques.sparsity.unstructured import INDEX_BITS
from perfsim.workloads import Plan

__all__ = ["LowRankPlusSparse"]


@dataclass(frozen=True, kw_only=True)
class LowRankPlusSparse(GraphRewrite):
    """Each matrix W (k × n) of the layers as A·B + S: two thin factors of rank ``rank`` and ``density`` of the weights.

    The sparse product runs as in unstructured sparsity, at ``efficiency`` of the dense kernel's rate per kept value or
    densely if that is faster; the thin products and the addition of both results are kernels of their own. Weights:
    rank·(k + n) + density·k·n, and the index.

    References
    ----------
    .. [1] S. Zhang, V. Papyan, "OATS: Outlier-Aware Pruning Through Sparse and Low Rank Decomposition",
       arXiv 2409.13652.
    """

    rank: int = parameter(64, "inner width of the thin factors", least=1, most=65536)
    density: float = parameter(0.3, "weights of the sparse matrix, over all", least=0.0001, most=1.0)
    index: str = parameter("bitmap", "how the positions are stored", choices=tuple(INDEX_BITS))
    efficiency: float = parameter(
        1.0, "rate of the sparse kernel per kept product over the dense kernel's; 1 is a bound", least=0.0001, most=1.0
    )
    part: str = parameter("all", "part of the network whose matrices are replaced", choices=PARTS)

    name = "low-rank-plus-sparse"
    reference = "arXiv 2409.13652"
    idempotent = False

    def requires(self, plan: Plan, context: Context) -> str | None:
        return refusal(plan, context)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        chosen = matrices(graph, self.part)
        per_weight, per_kept = INDEX_BITS[self.index]
        for product in chosen:
            graph = sparse_weights(graph, product, density=self.density, index=per_weight + per_kept * self.density)
        return exchanged(graph, chosen, self._sum)

    def _sum(self, op: Linear, tensors: dict[str, Tensor]) -> list[Operator]:
        raw = tuple(f"{name}.sparse" for name in op.outputs)
        tensors.update({new: tensors[old].replace(name=new) for new, old in zip(raw, op.outputs, strict=True)})
        slowdown = min(1 / self.efficiency, 1 / self.density)
        made: list[Operator] = [SparseProduct(op.name, op.inputs, raw, op.region, op, self.density, slowdown)]
        for weight, sparse, output in zip(op.inputs[1:], raw, op.outputs, strict=True):
            made += self._thin(op, tensors, weight, output)
            made.append(Elementwise(f"{weight}.add", (sparse, f"{output}.thin"), (output,), op.region, "add"))
        return made

    def _thin(self, op: Linear, tensors: dict[str, Tensor], weight: str, output: str) -> list[Operator]:
        """The two factors, in the format of the features."""
        matrix, source = tensors[weight], tensors[op.inputs[0]]
        inner, outer = matrix.shape[: op.contracted], matrix.shape[op.contracted :]
        middle = f"{weight}.reduced"
        shapes = {"first": (1, math.prod(inner), self.rank), "second": (1, self.rank, math.prod(outer))}
        for part, shape in shapes.items():
            name = f"{weight}.{part}"
            tensors[name] = matrix.replace(name=name, shape=shape, dtype=source.dtype, shard=None)
        rows = source.shape[: -op.contracted]
        tensors[middle] = source.replace(name=middle, shape=(*rows, self.rank), region=op.region)
        tensors[f"{output}.thin"] = tensors[output].replace(name=f"{output}.thin")
        first = (op.inputs[0], f"{weight}.first")
        second = (middle, f"{weight}.second")
        return [
            BlockLinear(f"{weight}.reduce", first, (middle,), op.region, op.contracted, 1, (self.rank,)),
            BlockLinear(f"{weight}.expand", second, (f"{output}.thin",), op.region, 1, 1, outer),
        ]
