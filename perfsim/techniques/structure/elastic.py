"""Elastic networks: one stored network of which a pass runs a part."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import Model
from perfsim.graph import OperatorGraph, Role, Tensor
from perfsim.quantities.numbers import maximum
from perfsim.techniques.base import Context, ModelRewrite, parameter
from perfsim.techniques.structure.pruning import StructuredPruning
from perfsim.workloads import Plan

__all__ = ["ElasticSubnet"]


@dataclass(frozen=True, kw_only=True)
class ElasticSubnet(ModelRewrite):
    """A part of a supernet runs: a share of its ``layers``, of its heads, neurons or channels (``width``).

    The subnet is dense and costs what a network of its shape costs. ``stored`` says how many parameters the supernet
    has if all of them stay in memory, so that the next request may run another part; with 0 only the subnet is there.
    Of vision networks ``resolution`` scales the image, too.

    References
    ----------
    .. [1] H. Cai et al., "Once-for-All", arXiv 1908.09791. [2] Y. Fu et al., "AmoebaLLM", arXiv 2411.10606.
    """

    width: float = parameter(1.0, "heads and neurons, or channels, that run, over all", least=0.01, most=1.0)
    layers: float = parameter(1.0, "layers that run, over all", least=0.01, most=1.0)
    resolution: float = parameter(1.0, "pixels per side over those of the network", least=0.01, most=1.0)
    stored: int = parameter(
        0, "parameters of the supernet in memory; 0 for the subnet alone", least=0, most=10**15
    )

    name = "elastic-subnet"
    reference = "arXiv 1908.09791"
    idempotent = False
    neutral = {"width": 1.0, "layers": 1.0, "resolution": 1.0}

    def _pruning(self, model: Model) -> StructuredPruning:
        if hasattr(model, "scaled"):
            return StructuredPruning(channels=self.width, layers=self.layers)
        return StructuredPruning(heads=self.width, ffn=self.width, layers=self.layers)

    def refuses(self, model: Model, context: Context) -> str | None:
        if self.resolution < 1 and not hasattr(model, "scaled"):
            return "only vision networks have a resolution"
        return self._pruning(model).refuses(model, context)

    def remodelled(self, model: Model, context: Context) -> Model:
        smaller = self._pruning(model).remodelled(model, context)
        scaled = getattr(smaller, "scaled", None)
        return scaled(resolution=self.resolution) if scaled is not None and self.resolution < 1 else smaller

    def apply(self, plan: Plan, context: Context) -> Plan:
        return plan.map_graphs(self._with_rest) if self.stored else plan

    def _with_rest(self, graph: OperatorGraph) -> OperatorGraph:
        """The graph with the other weights of the supernet as a tensor that nothing reads."""
        dtype = next(graph.of_role(Role.WEIGHT)).dtype
        rest = maximum(self.stored - graph.parameters, 0)
        name = "supernet.rest"
        return replace(graph, tensors={**graph.tensors, name: Tensor(name, (rest,), dtype, Role.WEIGHT)})
