"""Tensor trains (matrix product operators) in place of weight matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.graph import OperatorGraph
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.factorization.chain import PARTS, Factor, balanced, factorize, refusal
from perfsim.workloads import Plan

__all__ = ["TensorTrain", "train_factors"]


def train_factors(rows: int, columns: int, *, cores: int, rank: int) -> list[Factor]:
    """Cores of a tensor train, in the order in which they are applied [1].

    Rows and columns are split into ``cores`` factors k_i and n_i; core i is a matrix (r_{i−1}·k_i) × (n_i·r_i), with
    r_i the ``rank``, but never more than a full matrix has: min(∏_{j≤i} k_j·n_j, ∏_{j>i} k_j·n_j). It is applied to
    every combination of what is not yet contracted (k_{i+1} … k_d) and what is done (n_1 … n_{i−1}).

    References
    ----------
    .. [1] A. Novikov et al., "Tensorizing Neural Networks", arXiv 1509.06569.
    """
    k, n = balanced(rows, cores), balanced(columns, cores)
    sizes = [a * b for a, b in zip(k, n, strict=True)]
    ranks = [1, *(min(rank, math.prod(sizes[:i]), math.prod(sizes[i:])) for i in range(1, cores)), 1]
    return [
        Factor(1, ranks[i] * k[i], n[i] * ranks[i + 1], math.prod(k[i + 1 :]) * math.prod(n[:i])) for i in range(cores)
    ]


@dataclass(frozen=True, kw_only=True)
class TensorTrain(GraphRewrite):
    """Each matrix of the layers as a chain of ``cores`` small tensors joined by bonds of size ``rank``.

    Weights Σ r_{i−1}·k_i·n_i·r_i, one product per core with features between them that grow with the rank; few bytes,
    but small products whose count and intermediate features decide the time. Matrices that would not shrink stay.

    References
    ----------
    .. [1] A. Novikov et al., arXiv 1509.06569. [2] P. Liu et al., "MPO for compressing ALBERT", arXiv 2106.02205.
    """

    cores: int = parameter(3, "small tensors per matrix", least=2, most=8)
    rank: int = parameter(64, "size of the bond between neighbouring tensors", least=1, most=65536)
    part: str = parameter("all", "part of the network whose matrices are factored", choices=PARTS)

    name = "tensor-train"
    reference = "arXiv 1509.06569"
    idempotent = False

    def requires(self, plan: Plan, context: Context) -> str | None:
        return refusal(plan, context)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        def factors(rows: int, columns: int) -> list[Factor]:
            return train_factors(rows, columns, cores=self.cores, rank=self.rank)

        return factorize(graph, self.part, factors)
