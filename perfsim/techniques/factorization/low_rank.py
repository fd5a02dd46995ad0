"""Low-rank factors in place of a weight matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.edit import exchanged, reshaped
from perfsim.ops import Linear
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.factorization.chain import PARTS, matrices
from perfsim.techniques.products import no_matrices
from perfsim.workloads import Plan

__all__ = ["LowRank", "rank_of"]


def rank_of(*, rows: int, columns: int, ratio: float) -> int:
    """Largest rank whose two factors hold at most ``ratio`` of the matrix's parameters, at least 1 [1].

    r·(rows + columns) ≤ ratio·rows·columns.
    """
    return max(1, math.floor(ratio * rows * columns / (rows + columns)))


@dataclass(frozen=True, kw_only=True)
class LowRank(GraphRewrite):
    """Each weight matrix W (k × n) of the layers as A·B with A (k × r) and B (r × n).

    Two products instead of one: fewer parameters and operations if r < k·n/(k + n), an activation of width r more, and
    one more kernel. ``rank`` states r for all matrices; with rank 0 ``ratio`` of the parameters is kept. Matrices for
    which factors would not be smaller stay as they are; with ratio 1 all do.

    References
    ----------
    .. [1] X. Wang et al., "SVD-LLM", arXiv 2403.07378.
    """

    rank: int = parameter(0, "inner width r of the factors; 0 takes it from `ratio`", least=0, most=10**6)
    ratio: float = parameter(0.5, "parameters of the factors over those of the matrix", least=0.001, most=1.0)
    part: str = parameter("all", "part of the network whose matrices are factored", choices=PARTS)

    name = "low-rank"
    reference = "arXiv 2403.07378"
    idempotent = False
    neutral = {"rank": 0, "ratio": 1.0}

    def requires(self, plan: Plan, context: Context) -> str | None:
        return no_matrices(phase.graph for phase in plan.phases)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        if not self.rank and self.ratio == 1:
            return graph
        return reshaped(exchanged(graph, matrices(graph, self.part), self._factored))

    def _factored(self, op: Linear, tensors: dict[str, Tensor]) -> list[Operator]:
        """One product with all first factors side by side, then one per second factor."""
        weights = [tensors[name] for name in op.inputs[1:] if tensors[name].role is Role.WEIGHT]
        if len(weights) != len(op.inputs) - 1:
            return [op]
        ranks = [self._rank(weight, op.contracted) for weight in weights]
        if not all(ranks):
            return [op]
        firsts, seconds = [], []
        middle = tensors[op.outputs[0]]
        for weight, rank, output in zip(weights, ranks, op.outputs, strict=True):
            first, second = _factors(weight, rank, op.contracted)
            between = middle.replace(name=f"{weight.name}.reduced", shape=())
            tensors |= {t.name: t for t in (first, second, between)}
            del tensors[weight.name]
            firsts.append((first.name, between.name))
            seconds.append(Linear(f"{weight.name}.expand", (between.name, second.name), (output,), op.region))
        names = tuple(name for name, _ in firsts)
        reduce = Linear(
            f"{op.name}.reduce", (op.inputs[0], *names), tuple(out for _, out in firsts), op.region, op.contracted
        )
        return [reduce, *seconds]

    def _rank(self, weight: Tensor, contracted: int) -> int:
        """Inner width for one matrix; 0 where factors would not be smaller."""
        rows, columns = math.prod(weight.shape[:contracted]), math.prod(weight.shape[contracted:])
        rank = self.rank or rank_of(rows=rows, columns=columns, ratio=self.ratio)
        return rank if rank * (rows + columns) < rows * columns else 0


def _factors(weight: Tensor, rank: int, contracted: int) -> tuple[Tensor, Tensor]:
    """Both factors; the one that keeps the axis which tensor parallelism splits is split along it."""
    inner, outer, split = weight.shape[:contracted], weight.shape[contracted:], weight.shard
    at_first = split is not None and split < contracted
    later = None if split is None or at_first else split - contracted + 1
    return (
        weight.replace(name=f"{weight.name}.first", shape=(*inner, rank), shard=split if at_first else None),
        weight.replace(name=f"{weight.name}.second", shape=(rank, *outer), shard=later),
    )
