"""Sparse attention of diffusion transformers by clusters of similar tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.edit import exchanged
from perfsim.ops import FusedAttention
from perfsim.ops.permutation import ClusterTokens, PermuteTokens
from perfsim.ops.sparse_attention import SparseAttention
from perfsim.quantities.dtypes import DTYPES
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.workloads import Diffusion, Phase, Plan

__all__ = ["SemanticPermutation"]


@dataclass(frozen=True, kw_only=True)
class SemanticPermutation(PlanRewrite):
    """Tokens of a denoiser are clustered and sorted, so that the pairs that matter form dense blocks.

    Per attention and step: ``iterations`` passes of k-means over queries and over keys (few where centres of the last
    step are taken over), copies of queries, keys, values and the result in the order of the clusters and back, and
    attention to ``share`` of the pairs at ``rate`` of the dense kernel. ``dense`` of the steps, the first ones, run as
    before. Scores of the centres against each other are left out: clusters are few. Memory holds the sorted copies.

    References
    ----------
    .. [1] S. Yang et al., "Sparse VideoGen2", arXiv 2505.18875.
    """

    share: float = parameter(0.3, "share of the (query, key) pairs that is computed", least=0.0001, most=1.0)
    query_clusters: int = parameter(100, "clusters of queries per head", least=1, most=10**6)
    key_clusters: int = parameter(500, "clusters of keys per head", least=1, most=10**6)
    iterations: float = parameter(2.0, "passes of k-means per step", least=0.0, most=1000.0)
    dense: float = parameter(0.0, "share of the steps that attend to everything", least=0.0, most=1.0)
    rate: float = parameter(1.0, "rate of the kernel per pair over the dense kernel's", least=0.001, most=1.0)

    name = "semantic-permutation"
    reference = "arXiv 2505.18875"
    neutral = {"dense": 1.0}
    idempotent = False

    def requires(self, plan: Plan, context: Context) -> str | None:
        if not isinstance(plan.job, Diffusion):
            return "its tokens are not denoised; use a diffusion model, or sparse-attention"
        found = any(_sites(p.graph) for p in plan.phases if p.stage == "denoise")
        return None if found else "its attention runs in steps; put fused-attention in front"

    def apply(self, plan: Plan, context: Context) -> Plan:
        if self.dense >= 1:
            return plan
        return plan.replace(phases=tuple(part for phase in plan.phases for part in self._parts(phase)))

    def _parts(self, phase: Phase) -> tuple[Phase, ...]:
        if phase.stage != "denoise":
            return (phase,)
        sparse = replace(phase, graph=self._sparse(phase.graph), share=phase.share * (1 - self.dense))
        if self.dense == 0:
            return (sparse,)
        return replace(phase, name="denoise/dense", share=phase.share * self.dense), sparse

    def _sparse(self, graph: OperatorGraph) -> OperatorGraph:
        return exchanged(graph, _sites(graph), self._site)

    def _site(self, op: FusedAttention, tensors: dict[str, Tensor]) -> list[Operator]:
        made, moved = list[Operator](), list[str]()
        order = ""
        for part, name, clusters in zip(
            ("query", "key", "value"), op.inputs[:3], (self.query_clusters, self.key_clusters, 0), strict=True
        ):
            source, label = tensors[name], f"{op.name}.{part}"
            if clusters:
                order = f"{label}.cluster"
                numbers = {"shape": source.shape[:3], "dtype": DTYPES["int32"], "region": op.region}
                tensors[order] = source.replace(name=order, **numbers)
                work = (clusters, self.iterations)
                made.append(ClusterTokens(f"{label}.find_clusters", (name,), (order,), op.region, *work))
            after = f"{label}.sorted"
            tensors[after] = source.replace(name=after, region=op.region, role=Role.ACTIVATION)
            made.append(PermuteTokens(f"{label}.sort", (name, order), (after,), op.region))
            moved.append(after)
        result = f"{op.name}.sorted"
        tensors[result] = tensors[op.outputs[0]].replace(name=result)
        attend = SparseAttention(
            op.name, (*moved, *op.inputs[3:]), (result,), op.region, op.context, op.window, op.causal, op.value_dim, 0,
            self.share, 1, self.rate,
        )  # fmt: skip
        back = PermuteTokens(f"{op.name}.sort_back", (result, f"{op.name}.query.cluster"), op.outputs, op.region)
        return [*made, attend, back]


def _sites(graph: OperatorGraph) -> list[FusedAttention]:
    fused = (op for op in graph.operators if isinstance(op, FusedAttention) and not isinstance(op, SparseAttention))
    return [op for op in fused if op.region and not op.causal]
