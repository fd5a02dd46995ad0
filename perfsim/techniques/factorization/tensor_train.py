"""Tensor trains (matrix product operators) in place of weight matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from perfsim.graph import OperatorGraph, Tensor
from perfsim.graph.edit import reshaped
from perfsim.ops.block_linear import BlockLinear
from perfsim.ops.train import TrainProduct
from perfsim.techniques.base import Context, parameter
from perfsim.techniques.factorization.chain import PARTS, Factor, Factorization, balanced

__all__ = ["TensorTrain", "train_factors", "train_joins"]


def train_factors(rows: int, columns: int, *, cores: int, rank: int) -> list[Factor]:
    """Cores of a tensor train, in the order in which they are applied [1].

    Rows and columns are split into ``cores`` factors k_i and n_i; core i is a matrix (r_{i−1}·k_i) × (n_i·r_i), with
    r_i the ``rank``, but never more than a full matrix has: min(∏_{j≤i} k_j·n_j, ∏_{j>i} k_j·n_j). It is applied to
    every combination of what is not yet contracted (k_{i+1} … k_d) and what is done (n_1 … n_{i−1}).

    References
    ----------
    .. [1] A. Novikov et al., "Tensorizing Neural Networks", arXiv 1509.06569.
    """
    k, n, ranks = _sizes(rows, columns, cores, rank)
    return [
        Factor(1, ranks[i] * k[i], n[i] * ranks[i + 1], math.prod(k[i + 1 :]) * math.prod(n[:i])) for i in range(cores)
    ]


def train_joins(rows: int, columns: int, *, cores: int, rank: int) -> list[tuple[int, int, int]]:
    """Products (m, n, k) that rebuild the matrix from its cores, from the first to the last [1].

    Step i joins core i + 1 to those before it: m = ∏_{j≤i} k_j·n_j, n = k_{i+1}·n_{i+1}·r_{i+1}, k = r_i.
    """
    k, n, ranks = _sizes(rows, columns, cores, rank)
    return [
        (math.prod(k[:i]) * math.prod(n[:i]), k[i] * n[i] * ranks[i + 1], ranks[i]) for i in range(1, cores)
    ]  # fmt: skip


def _sizes(rows: int, columns: int, cores: int, rank: int) -> tuple[list[int], list[int], list[int]]:
    """Factors of the rows and of the columns, and the bonds, with 1 at both ends."""
    k, n = balanced(rows, cores), balanced(columns, cores)
    sizes = [a * b for a, b in zip(k, n, strict=True)]
    bonds = (min(rank, math.prod(sizes[:i]), math.prod(sizes[i:])) for i in range(1, cores))
    return k, n, [1, *bonds, 1]


@dataclass(frozen=True, kw_only=True)
class TensorTrain(Factorization):
    """Each matrix of the layers as a chain of ``cores`` small tensors joined by bonds of size ``rank``.

    Weights Σ r_{i−1}·k_i·n_i·r_i, one product per core with features between them that grow with the rank; few bytes,
    but small products whose count and intermediate features decide the time. Matrices that would not shrink stay.
    Applied core by core a row costs 2·Σ r_{i−1}·k_i·n_i·r_i·repeat_i FLOP, often more than the 2·k·n of the matrix;
    with many rows it is less work to rebuild the matrix once per pass and to multiply by it. Per matrix and number of
    rows the cheaper order is taken: min(rows·by core, building + rows·2·k·n).

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

    def factors(self, rows: int, columns: int) -> list[Factor]:
        return train_factors(rows, columns, cores=self.cores, rank=self.rank)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        old = {op.name for op in graph.operators}
        made = super().rewrite(graph, context)
        chains: dict[str, list[BlockLinear]] = {}
        for op in made.operators:
            if isinstance(op, BlockLinear) and op.name not in old:
                chains.setdefault(op.name.rpartition(".product")[0], []).append(op)
        new = {op.name: op for name, chain in chains.items() for op in self._either(graph.tensors[name], chain, made)}
        return reshaped(replace(made, operators=tuple(new.get(op.name, op) for op in made.operators)))

    def _either(self, matrix: Tensor, chain: list[BlockLinear], graph: OperatorGraph) -> list[TrainProduct]:
        """The kernels of one matrix, for both orders."""
        contracted, source = chain[0].contracted, chain[0].inputs[0]
        rows, columns = math.prod(matrix.shape[:contracted]), math.prod(matrix.shape[contracted:])
        joins = train_joins(rows, columns, cores=self.cores, rank=self.rank)
        sizes = [(graph.tensors[op.inputs[1]].shape[1:], op.repeat) for op in chain]
        by_core = sum(2 * inner * outer * repeat for (inner, outer), repeat in sizes)
        building = sum(2 * m * n * k for m, n, k in joins)
        made = []
        for index, (op, (core, repeat)) in enumerate(zip(chain, sizes, strict=True)):
            last = index == len(chain) - 1
            further = (source,) if last else (chain[index + 1].inputs[1], *((source,) if index else ()))
            made.append(TrainProduct(
                op.name, (*op.inputs, *further), op.outputs, op.region, contracted, repeat, core, op.out,
                (1, columns, rows) if last else joins[index], last, by_core, 2 * rows * columns, building,
            ))  # fmt: skip
        return made
