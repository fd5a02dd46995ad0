"""One network for several tasks or formats, with a small layer for each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from perfsim.architectures import EncoderModel
from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.regions import carried
from perfsim.ops import Elementwise, Linear
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.workloads import Plan

__all__ = ["TaskAdapters"]


@dataclass(frozen=True, kw_only=True)
class TaskAdapters(GraphRewrite):
    """``formats`` kinds of input are served: by networks of their own, or by one with ``layers`` small layers for each.

    ``shared`` 0: as many copies of the network lie in memory as there are formats. ``shared`` 1: one network, and for
    each format ``layers`` matrices (hidden × hidden) with ReLU between them behind the embedding, of which a request
    runs those of its format, and ``tables`` further parameters per format that are only looked up.

    References
    ----------
    .. [1] J. Chen et al., "XDoc: Unified Pre-training for Cross-Format Document Understanding", arXiv 2210.02849.
    """

    formats: int = parameter(1, "kinds of input", least=1, most=1000)
    shared: int = parameter(1, "1 for one network with adapters, 0 for a network per format", least=0, most=1)
    layers: int = parameter(2, "matrices of an adapter", least=0, most=16)
    tables: float = parameter(0.0, "further parameters per format, e.g. of position tables", least=0.0, most=1e12)

    name = "task-adapters"
    reference = "arXiv 2210.02849"
    idempotent = False
    neutral = {"formats": 1}

    def requires(self, plan: Plan, context: Context) -> str | None:
        if not isinstance(context.model, EncoderModel) and self.formats > 1:
            return "adapters stand between the embedding and the layers of a text encoder"
        return None

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        if self.formats == 1:
            return graph
        if not self.shared:
            return self._beside(graph, (self.formats - 1) * graph.parameters)
        graph, own = self._adapted(graph)
        return self._beside(graph, (self.formats - 1) * own + self.formats * self.tables)

    def _beside(self, graph: OperatorGraph, parameters: float) -> OperatorGraph:
        """The graph with weights in memory that this request does not read."""
        first = next(graph.of_role(Role.WEIGHT))
        others = Tensor("other_formats", (round(parameters),), first.dtype, Role.WEIGHT)
        return replace(graph, tensors={**graph.tensors, others.name: others})

    def _adapted(self, graph: OperatorGraph) -> tuple[OperatorGraph, int]:
        """The graph with an adapter in front of its layers, and the adapter's parameters."""
        entering, _ = carried(graph, next(iter(graph.regions)))
        x, tensors, added = graph.tensors[entering], dict(graph.tensors), list[Operator]()
        hidden, last = x.shape[-1], entering
        for index in range(self.layers):
            weight = Tensor(f"adapter.{index}.weight", (hidden, hidden), x.dtype, Role.WEIGHT)
            made = [x.replace(name=f"adapter.{index}.{part}") for part in ("product", "out")]
            tensors |= {t.name: t for t in (weight, *made)}
            added.append(Linear(f"adapter.{index}", (last, weight.name), (made[0].name,)))
            added.append(Elementwise(f"adapter.{index}.relu", (made[0].name,), (made[1].name,), "", "relu"))
            last = made[1].name
        position = 1 + next(i for i, op in enumerate(graph.operators) if entering in op.outputs)
        behind = [
            replace(op, inputs=tuple(last if name == entering else name for name in op.inputs))
            for op in graph.operators[position:]
        ]
        operators = (*graph.operators[:position], *added, *behind)
        return replace(graph, tensors=tensors, operators=operators), self.layers * math.prod((hidden, hidden))
