"""Bottleneck adapters behind the blocks of a layer."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import OperatorGraph
from perfsim.ops import Elementwise, Linear
from perfsim.techniques.adapters.resident import Adapter, ResidentAdapters, in_layers
from perfsim.techniques.base import parameter
from perfsim.techniques.factorization.chain import PARTS
from perfsim.techniques.products import part_of

__all__ = ["BottleneckAdapters"]


@dataclass(frozen=True, kw_only=True)
class BottleneckAdapters(ResidentAdapters):
    """Behind attention and feed-forward block of every layer: y + up(f(down(y))) with a bottleneck of ``width``.

    It hangs on the product that closes a block, whose output has the width d of the layer. 2·d·width weights and
    4·d·width FLOP per token and block, a non-linearity on the bottleneck and an addition. It cannot be folded away, so
    inference pays it. Its biases (width + d) are left out.

    References
    ----------
    .. [1] N. Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", arXiv 1902.00751. [2] J. Pfeiffer et al.,
       "AdapterFusion", arXiv 2005.00247: behind the feed-forward block only.
    """

    width: int = parameter(64, "width of the bottleneck", least=0, most=65536)
    part: str = parameter("all", "blocks that get one", choices=PARTS)

    name = "bottleneck-adapters"
    reference = "arXiv 1902.00751"
    idempotent = False
    neutral = {"width": 0}

    @property
    def absent(self) -> bool:
        return self.width == 0

    def sites(self, graph: OperatorGraph) -> list[Linear]:
        last = {op.region: graph.tensors[op.outputs[-1]].shape[-1] for op in graph.operators if op.outputs}

        def closes(op: Linear) -> bool:
            out = graph.tensors[op.outputs[-1]].shape
            return len(op.outputs) == 1 and len(out) == 3 and out[-1] == last[op.region]

        return in_layers(graph, lambda op: closes(op) and self.part in ("all", part_of(op)))

    def attach(self, weight: str, base: str, output: str, adapter: Adapter) -> None:
        outer = adapter.tensors[weight].shape[-1]
        down = adapter.product("down", base, (outer, self.width))
        active = adapter.add(Elementwise, "activation", (down,), function="relu")
        up = adapter.product("up", active, (self.width, outer))
        adapter.add(Elementwise, "add", (base, up), output, function="add")
