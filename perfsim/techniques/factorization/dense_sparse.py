"""A small dense factor times a sparse one in place of weight matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph
from perfsim.ops.sparse import SparseProduct
from perfsim.techniques.base import Context, parameter
from perfsim.techniques.factorization.chain import PARTS, Factor, Factorization
from perfsim.techniques.sparsity.semi_structured import sparse_weights

__all__ = ["DenseSparse"]


@dataclass(frozen=True, kw_only=True)
class DenseSparse(Factorization):
    """Each matrix W (k × n) of the layers as D·S: a dense D (k × r) and an S (r × n) with few values per column.

    r is ``inner`` times k; every column of S keeps ``kept`` values with indices of log2(r) bits. Both products are
    counted; the sparse one runs at ``efficiency`` of the dense kernel's rate per kept value, or as a dense product if
    that is faster. Matrices that would not shrink stay as they are.

    References
    ----------
    .. [1] R. Chand et al., "DSFormer", arXiv 2312.13211.
    """

    inner: float = parameter(0.25, "inner width over the rows of the matrix", least=0.001, most=1.0)
    kept: int = parameter(64, "values per column of the sparse factor", least=1, most=65536)
    efficiency: float = parameter(
        0.5, "rate of the sparse kernel per kept product over the dense kernel's", least=0.0001, most=1.0
    )
    part: str = parameter("all", "part of the network whose matrices are factored", choices=PARTS)

    name = "dense-sparse"
    reference = "arXiv 2312.13211"
    idempotent = False
    neutral = {"inner": 1.0}

    def factors(self, rows: int, columns: int) -> list[Factor]:
        """Both factors, or the matrix itself where they would not be smaller."""
        width = max(1, round(rows * self.inner))
        smaller = rows * width + min(self.kept, width) * columns < rows * columns
        return [Factor(1, rows, width), Factor(1, width, columns)] if smaller else [Factor(1, rows, columns)]

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        old = {op.name for op in graph.operators}
        graph = super().rewrite(graph, context)
        second = {op.name for op in graph.operators if op.name not in old and op.name.endswith(".product1")}
        for op in graph.operators:
            graph = self._stored(op, graph) if op.name in second else graph
        operators = (self._sparse(op, graph) if op.name in second else op for op in graph.operators)
        return replace(graph, operators=tuple(operators))

    def _density(self, op: Operator, graph: OperatorGraph) -> float:
        return float(min(1.0, self.kept / graph.tensors[op.inputs[1]].shape[1]))

    def _stored(self, op: Operator, graph: OperatorGraph) -> OperatorGraph:
        density = self._density(op, graph)
        if density == 1:
            return graph
        index = density * math.ceil(math.log2(graph.tensors[op.inputs[1]].shape[1]))
        return sparse_weights(graph, op, density=density, index=index)

    def _sparse(self, op: Operator, graph: OperatorGraph) -> Operator:
        density = self._density(op, graph)
        if density == 1:
            return op
        slowdown = min(1 / self.efficiency, 1 / density)
        return SparseProduct(op.name, op.inputs, op.outputs, op.region, op, density, slowdown)
