"""Adapters that scale or rotate the outputs of products."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import OperatorGraph
from perfsim.ops import Linear
from perfsim.ops.adapters import AdapterScale
from perfsim.techniques.adapters.resident import Adapter, ResidentAdapters, in_layers
from perfsim.techniques.base import parameter
from perfsim.techniques.factorization.chain import PARTS
from perfsim.techniques.products import part_of

__all__ = ["ElementwiseAdapters"]


@dataclass(frozen=True, kw_only=True)
class ElementwiseAdapters(ResidentAdapters):
    """The outputs of every matrix (k × n) times ``vectors`` learned vectors of n numbers: 1 scales, 2 rotates pairs.

    vectors·n weights per adapter and matrix, 2·vectors − 1 FLOP per output. Sequences of one batch that use different
    ``adapters`` gather their vectors and share the kernel: no products with few rows as low-rank pairs need. A single
    adapter that is folded into the matrices costs nothing: leave the technique out.

    References
    ----------
    .. [1] B. Liao, C. Monz, "3-in-1: 2D Rotary Adaptation", arXiv 2409.00119. [2] H. Liu et al., "Few-Shot
       Parameter-Efficient Fine-Tuning", arXiv 2205.05638: (IA)3, one vector.
    """

    vectors: int = parameter(2, "learned vectors per matrix", least=0, most=2)
    part: str = parameter("all", "part of the network whose matrices are adapted", choices=PARTS)

    name = "elementwise-adapters"
    reference = "arXiv 2409.00119"
    idempotent = False
    neutral = {"vectors": 0}

    @property
    def absent(self) -> bool:
        return self.vectors == 0

    def sites(self, graph: OperatorGraph) -> list[Linear]:
        return in_layers(graph, lambda op: self.part in ("all", part_of(op)))

    def attach(self, weight: str, base: str, output: str, adapter: Adapter) -> None:
        columns = adapter.tensors[weight].shape[adapter.op.contracted :]
        vectors = adapter.weight("scale", (self.vectors, *columns))
        adapter.add(AdapterScale, "scale", (base, vectors), output, used=adapter.used)
