"""Token tables whose rows several tokens share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph, Tensor
from perfsim.graph.edit import exchanged
from perfsim.ops import Embedding
from perfsim.ops.general import Pointwise
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.workloads import Plan

__all__ = ["HashedEmbedding"]


@dataclass(frozen=True, kw_only=True)
class HashedEmbedding(GraphRewrite):
    """A token's vector is the sum of ``lookups`` rows of a table with ``share`` of the rows, found by hashes.

    Memory of the table shrinks by the share; every look-up reads its rows and adds them, so the bytes per token grow
    with ``lookups``. One table may serve several features (unified embeddings). A head that shares the table needs all
    of its rows and is refused.

    References
    ----------
    .. [1] D. Svenstrup et al., "Hash Embeddings", arXiv 1709.03933. [2] B. Coleman et al., "Unified Embedding",
       arXiv 2305.12102.
    """

    share: float = parameter(0.1, "rows of the table over the vocabulary", least=1e-6, most=1.0)
    lookups: int = parameter(2, "rows that are added up per token", least=1, most=64)

    name = "hashed-embedding"
    reference = "arXiv 1709.03933"
    idempotent = False
    neutral = {"share": 1.0, "lookups": 1}

    def requires(self, plan: Plan, context: Context) -> str | None:
        for phase in plan.phases:
            tables = {op.inputs[1] for op in _tables(phase.graph)}
            if not tables:
                return "it looks up no tokens"
            if any(t.view_of in tables for t in phase.graph.tensors.values()):
                return "its head shares the token table, of which it needs every row"
        return None

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        return exchanged(graph, _tables(graph), self._hashed)

    def _hashed(self, op: Operator, tensors: dict[str, Tensor]) -> Iterator[Operator]:
        """The look-ups in a shorter table, and the sum of their rows."""
        table, out = tensors[op.inputs[1]], tensors[op.outputs[0]]
        rows, width = table.shape
        tensors[table.name] = table.replace(shape=(max(1, round(rows * self.share)), width))
        parts = tuple(f"{op.name}.row{index}" for index in range(self.lookups)) if self.lookups > 1 else op.outputs
        for part in parts:
            tensors[part] = out.replace(name=part)
            yield replace(op, name=op.name if self.lookups == 1 else f"{part}.lookup", outputs=(part,))
        if self.lookups > 1:
            flops = out.elements * (self.lookups - 1)
            yield Pointwise(op.name, parts, op.outputs, op.region, (out.shape,), flops, "add")


def _tables(graph: OperatorGraph) -> list[Operator]:
    return [op for op in graph.operators if isinstance(op, Embedding) and op.name == "embedding"]
