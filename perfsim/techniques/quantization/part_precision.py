"""Bits by kind of tensor: attention, feed-forward, experts, embedding and head each in their own width."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import OperatorGraph, Role
from perfsim.ops import Embedding
from perfsim.quantities.dtypes import DType
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.products import layer_products, part_of, stored_weights
from perfsim.techniques.quantization.packing import Packing, integer_format, pack_weights, unknown_width
from perfsim.workloads import Plan

__all__ = ["PartPrecision"]


@dataclass(frozen=True, kw_only=True)
class PartPrecision(GraphRewrite):
    """Weights in integers whose width depends on the part of the network; 16 leaves a part as it is.

    Matrices are dequantised in front of their products, rows of the token table when they are looked up. A head that
    shares the token table has the table's width. Each ``group`` of weights has a 16-bit scale and a zero point.

    References
    ----------
    .. [1] Y. J. Kim et al., "Who Says Elephants Can't Run: Bringing Large Scale MoE Models into Cloud Scale
       Production", arXiv 2211.10017: only the experts in few bits.
    """

    attention: int = parameter(16, "bits per weight of the attention projections", unit="bit", least=1, most=16)
    ffn: int = parameter(16, "bits per weight of the feed-forward blocks", unit="bit", least=1, most=16)
    experts: int = parameter(16, "bits per weight of the routed experts", unit="bit", least=1, most=16)
    embedding: int = parameter(16, "bits per entry of the token table", unit="bit", least=1, most=16)
    head: int = parameter(16, "bits per weight of a head with its own matrix", unit="bit", least=1, most=16)
    group: int = parameter(128, "weights that share a scale", least=1, most=65536)

    name = "precision-by-part"
    reference = "arXiv 2211.10017"
    neutral = {"attention": 16, "ffn": 16, "experts": 16, "embedding": 16, "head": 16}

    def requires(self, plan: Plan, context: Context) -> str | None:
        return unknown_width(self.attention, self.ffn, self.experts, self.embedding, self.head)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        widths = {"attention": self.attention, "ffn": self.ffn, "experts": self.experts, "other": 16}
        bits = {op.name: widths[part_of(op)] for op in layer_products(graph)}
        bits |= {op.name: self.head for op in graph.operators if self._own_head(op.name, graph)}
        packings = {name: Packing(self._format(width)) for name, width in bits.items() if width < 16}
        return self._tables(pack_weights(graph, packings))

    def _format(self, bits: int) -> DType:
        return integer_format(bits=bits, group=self.group)

    def _own_head(self, name: str, graph: OperatorGraph) -> bool:
        if name != "head":
            return False
        weights = stored_weights(graph.operator(name), graph)
        return bool(weights) and not any(graph.tensors[w].view_of for w in weights)

    def _tables(self, graph: OperatorGraph) -> OperatorGraph:
        """The token table, and views of it, in their format; the position table is small and stays."""
        if self.embedding == 16:
            return graph
        tables = [op.inputs[1] for op in graph.operators if isinstance(op, Embedding) and op.name == "embedding"]
        stored = self._format(self.embedding)
        changed = {
            name: t.replace(dtype=stored)
            for name, t in graph.tensors.items()
            if t.role is Role.WEIGHT and t.dtype.bits > stored.bits and (name in tables or t.view_of in tables)
        }
        return replace(graph, tensors={**graph.tensors, **changed})
