"""A KV cache in pages."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph, Role
from perfsim.ops import FusedAttention
from perfsim.quantities.dtypes import DTYPES
from perfsim.quantities.numbers import ceil_div
from perfsim.techniques.attention.sites import cacheless, causal_sites
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.workloads import Plan

__all__ = ["PagedCache"]


@dataclass(frozen=True, kw_only=True)
class PagedCache(GraphRewrite):
    """The cache is taken in pages of ``block`` positions, and the kernel reads a table of them.

    Memory grows to whole pages, half a page per sequence on average, instead of the longest sequence that may come;
    every attention reads one 32-bit number per page. What paging saves is what a contiguous cache reserves in advance
    (``reserved-cache``). A stack with pages gets pages of this size.

    References
    ----------
    .. [1] W. Kwon et al., "PagedAttention", arXiv 2309.06180.
    """

    block: int = parameter(16, "positions per page", least=1, most=65536)

    name = "paged-cache"
    reference = "arXiv 2309.06180"

    def requires(self, plan: Plan, context: Context) -> str | None:
        if any(not isinstance(op, FusedAttention) for p in plan.phases for op in causal_sites(p.graph)):
            return "its attention runs in steps, which know no pages; put fused-attention in front"
        return cacheless(plan)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        tensors = dict(graph.tensors)
        changed: dict[str, Operator] = {}
        for op in causal_sites(graph):
            batch = tensors[op.inputs[0]].shape[0]
            present = next((name for name in op.inputs[3:] if tensors[name].role is Role.INDEX), "")
            name = present or f"{op.name}.block_table"
            tensors[name] = tensors[op.inputs[1]].replace(
                name=name, shape=(batch, ceil_div(op.context, self.block)), dtype=DTYPES["int32"], role=Role.INDEX,
                region=op.region, shard=None, view_of="",
            )  # fmt: skip
            changed[op.name] = op if present else replace(op, inputs=(*op.inputs, name))
        for name, tensor in graph.tensors.items():
            if tensor.role is Role.KV_CACHE and len(tensor.shape) == 4:
                batch, stored, *rest = tensor.shape
                whole = ceil_div(stored, self.block) * self.block
                tensors[name] = tensor.replace(shape=(batch, whole, *rest))
        operators = tuple(changed.get(op.name, op) for op in graph.operators)
        return replace(graph, operators=operators, tensors=tensors)
