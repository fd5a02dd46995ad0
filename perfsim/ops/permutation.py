"""Clusters of tokens, and tokens in the order of their clusters."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensors, Unit, Work

__all__ = ["ClusterTokens", "PermuteTokens"]


@dataclass(frozen=True, eq=False)
class ClusterTokens(Operator):
    """k-means of (batch, tokens, heads, dim) per head: ``iterations`` passes over ``clusters`` centres.

    output: (batch, tokens, heads), the cluster of every token.

    References
    ----------
    .. [1] S. Yang et al., "Sparse VideoGen2", arXiv 2505.18875.
    """

    clusters: int = 1
    iterations: float = 1.0

    kind = "cluster-tokens"
    unit = Unit.TENSOR
    reference = "arXiv 2505.18875"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape[:3],)

    def work(self, tensors: Tensors) -> Work:
        """2 · iterations · batch·tokens·heads·clusters·dim [FLOP]."""
        elements = tensors[self.inputs[0]].elements
        return Work(self.iterations * 2 * elements * self.clusters, self.unit, self.compute_dtype(tensors))


@dataclass(frozen=True, eq=False)
class PermuteTokens(Operator):
    """The first input in the order that the second gives: one copy."""

    kind = "permute-tokens"
    reference = "arXiv 2505.18875"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def work(self, tensors: Tensors) -> Work:
        return Work(0, self.unit, self.compute_dtype(tensors))
