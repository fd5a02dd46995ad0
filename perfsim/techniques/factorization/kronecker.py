"""Kronecker products in place of weight matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.techniques.base import parameter
from perfsim.techniques.factorization.chain import PARTS, Factor, Factorization

__all__ = ["KroneckerFactorization", "kronecker_factors"]


def kronecker_factors(rows: int, columns: int, *, inner_rows: int, inner_columns: int) -> list[Factor]:
    """Factors of W = A ⊗ B with B (inner_rows × inner_columns), applied as (A ⊗ B)x = A·X·B by two products [1].

    Sizes that do not divide the matrix are replaced by the greatest common divisor.

    References
    ----------
    .. [1] C. Van Loan, "The ubiquitous Kronecker product", J. Comput. Appl. Math. 123, 2000.
    """
    k, n = math.gcd(rows, inner_rows), math.gcd(columns, inner_columns)
    return [Factor(1, k, n, rows // k), Factor(1, rows // k, columns // n, n)]


@dataclass(frozen=True, kw_only=True)
class KroneckerFactorization(Factorization):
    """Each matrix W (k × n) of the layers as A ⊗ B with B (``rows`` × ``columns``) and A (k/rows × n/columns).

    Two products instead of one with far fewer weights, rows·columns + k·n/(rows·columns); operations fall less, since
    each factor is applied many times: 2·(k·columns + k·n/rows) per row. That is no more than the 2·k·n of the dense
    matrix as long as 1/rows + columns/n ≤ 1, so rebuilding the matrix first is left out. The features between the
    factors are written and read unless they stay on chip.

    References
    ----------
    .. [1] A. Edalati et al., "Kronecker Decomposition for GPT Compression", arXiv 2110.08152.
    """

    rows: int = parameter(2, "rows of the inner factor", least=1, most=65536)
    columns: int = parameter(2, "columns of the inner factor", least=1, most=65536)
    part: str = parameter("all", "part of the network whose matrices are factored", choices=PARTS)

    name = "kronecker"
    reference = "arXiv 2110.08152"
    idempotent = False
    neutral = {"rows": 1, "columns": 1}

    def factors(self, rows: int, columns: int) -> list[Factor]:
        return kronecker_factors(rows, columns, inner_rows=self.rows, inner_columns=self.columns)
