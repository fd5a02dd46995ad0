"""A contiguous KV cache, as long as the longest sequence that may come."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import OperatorGraph, Role, Tensor
from perfsim.quantities.numbers import maximum
from perfsim.techniques.attention.sites import cacheless
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.workloads import Plan

__all__ = ["ReservedCache"]


@dataclass(frozen=True, kw_only=True)
class ReservedCache(GraphRewrite):
    """A contiguous cache with room for ``positions`` positions, however many are used.

    Time stays what it is, since only positions in use are read; memory, and with it the largest batch, is that of the
    longest sequence that may come. The baseline of paging.

    References
    ----------
    .. [1] W. Kwon et al., "PagedAttention", arXiv 2309.06180, section 3.1.
    """

    positions: int = parameter(2048, "positions reserved per sequence", least=1, most=10**9)

    name = "reserved-cache"
    reference = "arXiv 2309.06180, section 3.1"

    def requires(self, plan: Plan, context: Context) -> str | None:
        return cacheless(plan)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        tensors = {name: self._reserved(tensor) for name, tensor in graph.tensors.items()}
        return replace(graph, tensors=tensors)

    def _reserved(self, tensor: Tensor) -> Tensor:
        if tensor.role is not Role.KV_CACHE or len(tensor.shape) != 4:
            return tensor
        batch, stored, *rest = tensor.shape
        return tensor.replace(shape=(batch, maximum(stored, self.positions), *rest))
