"""A stack of layers that is run several times."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import OperatorGraph, Role
from perfsim.graph.regions import split_region
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.workloads import Plan

__all__ = ["RecursiveLayers"]


@dataclass(frozen=True, kw_only=True)
class RecursiveLayers(GraphRewrite):
    """The first ``layers`` layers are all that is stored; the layers behind them are further passes through the same.

    Weights count once, operations, caches and bytes read per pass stay: a pass reads its layers anew. A last pass may
    be shorter. Passes that some tokens leave out are early exits at multiples of ``layers``. ``layers`` 0 keeps a set
    of weights per layer.

    References
    ----------
    .. [1] S. Bae et al., "Mixture-of-Recursions", arXiv 2507.10524. [2] M. Dehghani et al., "Universal Transformers",
       arXiv 1807.03819.
    """

    layers: int = parameter(0, "layers of the stack that is run again; 0 for none", least=0, most=10**5)

    name = "recursive-layers"
    reference = "arXiv 2507.10524"
    idempotent = False
    neutral = {"layers": 0}

    def requires(self, plan: Plan, context: Context) -> str | None:
        if plan.layout.pipeline > 1:
            return "passes through one stack cannot lie on different pipeline stages; use pipeline=1"
        return None if all(p.graph.regions for p in plan.phases) else "it has no layers that are repeated"

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        for region, count in tuple(graph.regions.items()):
            if 0 < self.layers < count:
                graph = self._looped(graph, region, int(count))
        return graph

    def _looped(self, graph: OperatorGraph, region: str, count: int) -> OperatorGraph:
        """The region as passes of which all but the first use the first one's weights."""
        whole, rest = divmod(count, self.layers)
        graph = split_region(graph, region, [self.layers] * whole + ([rest] if rest else []))
        first, tensors = f"{region}.0", dict(graph.tensors)
        for name, tensor in graph.tensors.items():
            later = tensor.region.startswith(f"{region}.") and tensor.region != first
            if later and tensor.role is Role.WEIGHT and not tensor.view_of:
                tensors[name] = tensor.replace(view_of=first + name.removeprefix(tensor.region))
        return replace(graph, tensors=tensors)
