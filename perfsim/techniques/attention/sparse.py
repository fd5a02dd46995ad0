"""Attention to a part of the positions: fixed patterns, or blocks chosen by their scores."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.edit import exchanged
from perfsim.ops import FusedAttention
from perfsim.ops.sparse_attention import BlockScores, ChooseBlocks, PoolBlocks, SparseAttention
from perfsim.quantities.dtypes import DTYPES
from perfsim.quantities.numbers import ceil_div, minimum
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.tokens.layers import layer_values, numbers_of, split_layers
from perfsim.workloads import Phase, Plan

__all__ = ["SparseAttentionPattern"]


@dataclass(frozen=True, kw_only=True)
class SparseAttentionPattern(PlanRewrite):
    """A query attends to min(visible, budget + share · visible) positions, in blocks; the whole cache is kept.

    ``vectors`` summaries per block of keys (2: minimum and maximum, 1: mean) are scored against the queries, and the
    best blocks are read; 0 is a pattern fixed in advance (window, sinks, strides), which costs no choice. While
    decoding the summaries are part of the cache, and one query scores all of them; over a prompt queries and keys are
    pooled, and blocks are scored against blocks. Scores, choice and kernel are kernels of their own, so what is saved
    must pay for reading the summaries and for two more launches: it pays only beyond some context. Weights and the
    feed-forward blocks cost what they did. Query heads of a group choose together. The same ``density`` in every layer,
    or a list from the first layers to the last, e.g. ``1+0.1``, which multiplies budget and share.

    Left out: what the choice misses (quality), and heads that differ.

    References
    ----------
    .. [1] J. Tang et al., "Quest: Query-Aware Sparsity", arXiv 2406.10774. [2] P. Nawrot et al., "The Sparse Frontier",
       arXiv 2504.17768. [3] H. Jiang et al., "MInference", arXiv 2407.02490.
    """

    budget: int = parameter(1024, "positions that every query attends to", least=0, most=10**9)
    share: float = parameter(0.0, "share of the visible positions that comes on top", least=0.0, most=1.0)
    block: int = parameter(16, "positions per block", least=1, most=65536)
    vectors: int = parameter(2, "stored vectors per block for the choice; 0: fixed pattern", least=0, most=64)
    rate: float = parameter(
        1.0, "rate of the kernel per pair over the dense kernel's; 1 is a bound", least=0.001, most=1.0
    )
    phases: str = parameter("all", "where it is used", choices=("all", "prefill", "decode"))
    density: str = parameter("1", "factors of budget and share, by layer; 1 leaves both as stated", unit="list")

    name = "sparse-attention"
    reference = "arXiv 2406.10774"
    neutral = {"share": 1.0, "density": "1"}
    idempotent = False

    def requires(self, plan: Plan, context: Context) -> str | None:
        if self.budget == 0 and self.share == 0:
            return "nothing is attended to with budget=0 and share=0; state one of them"
        numbers_of(self.density, f"{self.name}: density", 0, 1e9)
        graphs = [phase.graph for phase in plan.phases if self._meant(phase)]
        if not any(_sites(graph) for graph in graphs):
            steps = any(op.kind == "scores" for graph in graphs for op in graph.operators)
            return "its attention runs in steps; put fused-attention in front" if steps else "it has no full attention"
        return None

    def _meant(self, phase: Phase) -> bool:
        read = "prefill" if phase.stage == "forward" else phase.stage
        return not phase.network and self.phases in ("all", read)

    def apply(self, plan: Plan, context: Context) -> Plan:
        phases = tuple(replace(p, graph=self._sparse(p)) if self._meant(p) else p for p in plan.phases)
        return plan.replace(phases=phases)

    def _sparse(self, phase: Phase) -> OperatorGraph:
        graph = phase.graph
        stated = numbers_of(self.density, "density", 0, 1e9)
        if all(self.share * value >= 1 for value in stated) or not _sites(graph):
            return graph
        values = layer_values(stated, sum(graph.regions.values()))
        graph, by_region = split_layers(graph, values)
        decode = phase.stage == "decode"

        def made(op: FusedAttention, tensors: dict[str, Tensor]) -> list[Operator]:
            return self._site(op, tensors, by_region.get(op.region, values[0]), decode)

        return exchanged(graph, _sites(graph), made)

    def _site(self, op: FusedAttention, tensors: dict[str, Tensor], density: float, decode: bool) -> list[Operator]:
        share = min(self.share * density, 1.0)
        if share >= 1:
            return [op]
        budget = math.ceil(self.budget * density / self.block) * self.block
        made, extra = list[Operator](), tuple[str, ...]()
        if self.vectors:
            made = self._choice(op, tensors, budget, share, decode)
            extra = made[-1].outputs
        attend = SparseAttention(
            op.name, (*op.inputs, *extra), op.outputs, op.region, op.context, op.window, op.causal, op.value_dim,
            budget, share, self.block, self.rate,
        )  # fmt: skip
        return [*made, attend]

    def _choice(
        self, op: FusedAttention, tensors: dict[str, Tensor], budget: int, share: float, decode: bool
    ) -> list[Operator]:
        """Summaries, their scores, and the numbers of the best blocks."""
        queries, keys = (tensors[name] for name in op.inputs[:2])
        blocks = ceil_div(op.context, self.block)
        batch, tokens, heads, dim = queries.shape
        width, kv_heads = self.vectors * dim, keys.shape[2]

        def tensor(name: str, *shape: object, **fields: object) -> str:
            full = f"{op.name}.{name}"
            fields = {"role": Role.ACTIVATION, "shard": None, "view_of": "", **fields}
            tensors[full] = keys.replace(name=full, shape=shape, region=op.region, **fields)
            return full

        made: list[Operator] = []
        summary_role = Role.KV_CACHE if decode else Role.ACTIVATION
        shard = keys.shard if decode else None
        summaries = tensor("summaries", batch, blocks, kv_heads, width, role=summary_role, shard=shard)
        source, rows = op.inputs[0], tokens
        if not decode:
            rows = ceil_div(tokens, self.block)
            source = tensor("pooled_queries", batch, rows, heads, dim, dtype=queries.dtype)
            pool = (op.inputs[0],), (source,), op.region, self.block
            made.append(PoolBlocks(f"{op.name}.pool_queries", *pool, 1))
            made.append(
                PoolBlocks(f"{op.name}.pool_keys", (op.inputs[1],), (summaries,), op.region, self.block, self.vectors)
            )
        scores = tensor("block_scores", batch, rows, kv_heads, blocks, dtype=queries.dtype)
        made.append(BlockScores(f"{op.name}.block_scores", (source, summaries), (scores,), op.region))
        kept = minimum(blocks, ceil_div(budget + share * op.context, self.block))
        chosen = tensor("chosen", batch, rows, kv_heads, kept, dtype=DTYPES["int32"])
        made.append(ChooseBlocks(f"{op.name}.choose_blocks", (scores,), (chosen,), op.region, kept))
        return made


def _sites(graph: OperatorGraph) -> list[FusedAttention]:
    """Fused attention without a window: windows are sparse already."""
    fused = (op for op in graph.operators if isinstance(op, FusedAttention) and not isinstance(op, SparseAttention))
    return [op for op in fused if op.window is None]
