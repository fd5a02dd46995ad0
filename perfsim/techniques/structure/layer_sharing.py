"""Several layers with the same weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.errors import GraphError
from perfsim.graph import OperatorGraph, Role
from perfsim.graph.regions import carried, split_region
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.workloads import Plan

__all__ = ["LayerSharing", "shared_runs"]


def shared_runs(count: int, times: int) -> list[int]:
    """Lengths of the runs of layers with the same weights: ``times`` each, the last one what is left."""
    whole, rest = divmod(count, times)
    return [times] * whole + ([rest] if rest else [])


@dataclass(frozen=True, kw_only=True)
class LayerSharing(GraphRewrite):
    """Every ``times`` consecutive layers use one set of weights, which is stored once.

    Memory shrinks; operations and the bytes read per pass do not, because each layer reads its weights anew: on a
    device whose cache does not hold a layer there is no gain in time. Caches and activations stay per layer.

    References
    ----------
    .. [1] Z. Lan et al., "ALBERT", arXiv 1909.11942. [2] Z. Liu et al., "MobileLLM", arXiv 2402.14905.
    """

    times: int = parameter(2, "consecutive layers that share their weights", least=1, most=1024)

    name = "layer-sharing"
    reference = "arXiv 1909.11942"
    idempotent = False
    neutral = {"times": 1}

    def requires(self, plan: Plan, context: Context) -> str | None:
        if plan.layout.pipeline > 1:
            return "layers with the same weights would lie on different pipeline stages; use pipeline=1"
        if not all(p.graph.regions for p in plan.phases):
            return "it has no layers that are repeated"
        try:
            for phase in plan.phases:
                for region in (name for name, count in phase.graph.regions.items() if count > 1):
                    carried(phase.graph, region)
        except GraphError as error:
            return str(error)
        return None

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        if self.times == 1:
            return graph
        for region in tuple(graph.regions):
            if graph.regions[region] > 1:
                graph = split_region(graph, region, shared_runs(int(graph.regions[region]), self.times))
        repeated = {name for name, count in graph.regions.items() if count > 1}
        tensors = {
            name: t.replace(region="") if t.role is Role.WEIGHT and t.region in repeated else t
            for name, t in graph.tensors.items()
        }
        return replace(graph, tensors=tensors)
