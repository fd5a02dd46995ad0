"""Unstructured sparsity: any weight may be zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from perfsim.graph import Operator, OperatorGraph
from perfsim.ops import Conv
from perfsim.ops.sparse import SparseProduct
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.products import layer_products, nothing_stored
from perfsim.techniques.sparsity.semi_structured import sparse_weights
from perfsim.workloads import Plan

__all__ = ["INDEX_BITS", "UnstructuredSparsity"]

INDEX_BITS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"bitmap": (1.0, 0.0), "csr-16": (0.0, 16.0), "csr-32": (0.0, 32.0), "none": (0.0, 0.0)}
)
"""Bits of the index per dense weight and per kept weight, by format; row pointers are left out."""


@dataclass(frozen=True, kw_only=True)
class UnstructuredSparsity(GraphRewrite):
    """A free pattern with ``density`` of the weights of the layers left, stored with an index.

    The kernel executes the kept multiply-accumulates at ``efficiency`` of the rate of the dense kernel; where that
    makes it slower than the dense kernel, the stack unpacks and multiplies densely, so the arithmetic never takes
    longer than dense. The bytes of weights and index are read in any case; with density 1 nothing is sparse and no
    index is stored. ``products`` pointwise leaves convolutions over several pixels, depthwise ones among them, dense.

    References
    ----------
    .. [1] T. Gale et al., "Sparse GPU Kernels for Deep Learning", arXiv 2006.10901: what such kernels reach.
    """

    density: float = parameter(0.5, "weights that stay, over all", least=0.0001, most=1.0)
    index: str = parameter("bitmap", "how the positions are stored", choices=tuple(INDEX_BITS))
    efficiency: float = parameter(
        1.0, "rate of the sparse kernel per kept product over the dense kernel's; 1 is a bound", least=0.0001, most=1.0
    )

    products: str = parameter("all", "which products of the layers are sparse", choices=("all", "pointwise"))

    name = "unstructured-sparsity"
    reference = "arXiv 2006.10901"
    idempotent = False
    neutral = {"density": 1.0}

    def requires(self, plan: Plan, context: Context) -> str | None:
        return nothing_stored(phase.graph for phase in plan.phases)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        if self.density == 1:
            return graph
        chosen = {op.name: op for op in layer_products(graph) if self.products == "all" or _pointwise(op, graph)}
        per_weight, per_kept = INDEX_BITS[self.index]
        for op in chosen.values():
            graph = sparse_weights(graph, op, density=self.density, index=per_weight + per_kept * self.density)
        operators = [self._sparse(op) if op.name in chosen else op for op in graph.operators]
        return replace(graph, operators=tuple(operators))

    def _sparse(self, op: Operator) -> Operator:
        slowdown = min(1 / self.efficiency, 1 / self.density)
        return SparseProduct(op.name, op.inputs, op.outputs, op.region, op, self.density, slowdown)


def _pointwise(op: Operator, graph: OperatorGraph) -> bool:
    """Whether every weight is used at one position only: projections, and convolutions of one pixel."""
    return not isinstance(op, Conv) or set(graph.tensors[op.inputs[1]].shape[3:]) == {1}
