"""Monarch and block-diagonal matrices in place of weight matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.techniques.base import parameter
from perfsim.techniques.factorization.chain import PARTS, Factor, Factorization

__all__ = ["BlockDiagonal", "Monarch", "block_factors", "monarch_factors"]


def monarch_factors(rows: int, columns: int, *, blocks: int) -> list[Factor]:
    """Two block-diagonal factors with a permutation between them [1].

    The first has b blocks (rows/b × m) with m = min(rows, columns)/b, the second b blocks (m × columns/b), with b the
    greatest common divisor of ``blocks`` and both sizes: (rows + columns)·min(rows, columns)/b weights.

    References
    ----------
    .. [1] T. Dao et al., "Monarch", arXiv 2204.00595.
    """
    b = math.gcd(blocks, rows, columns)
    middle = min(rows, columns) // b
    return [Factor(b, rows // b, middle), Factor(b, middle, columns // b)]


def block_factors(rows: int, columns: int, *, blocks: int) -> list[Factor]:
    """One block-diagonal matrix with the greatest common divisor of ``blocks`` and both sizes as blocks."""
    b = math.gcd(blocks, rows, columns)
    return [Factor(b, rows // b, columns // b)]


@dataclass(frozen=True, kw_only=True)
class Monarch(Factorization):
    """Each matrix of the layers as two block-diagonal ones; the permutation between them rides on the stores.

    With b ``blocks`` a square matrix keeps 2/b of its weights and operations, as batches of small dense products; the
    features between them are written and read unless they stay on chip.

    References
    ----------
    .. [1] T. Dao et al., arXiv 2204.00595. [2] D. Fu et al., "Monarch Mixer", arXiv 2310.12109.
    """

    blocks: int = parameter(4, "diagonal blocks of each factor", least=1, most=4096)
    part: str = parameter("all", "part of the network whose matrices are replaced", choices=PARTS)

    name = "monarch"
    reference = "arXiv 2204.00595"
    idempotent = False
    neutral = {"blocks": 1}

    def factors(self, rows: int, columns: int) -> list[Factor]:
        return monarch_factors(rows, columns, blocks=self.blocks)


@dataclass(frozen=True, kw_only=True)
class BlockDiagonal(Factorization):
    """Each matrix of the layers as one with ``blocks`` diagonal blocks: 1/blocks of weights and operations.

    Same kernel as a batch of small products; features are not shuffled between groups.

    References
    ----------
    .. [1] T. Dao et al., arXiv 2204.00595, section 2.
    """

    blocks: int = parameter(2, "diagonal blocks", least=1, most=4096)
    part: str = parameter("all", "part of the network whose matrices are replaced", choices=PARTS)

    name = "block-diagonal"
    reference = "arXiv 2204.00595"
    idempotent = False
    neutral = {"blocks": 1}

    def factors(self, rows: int, columns: int) -> list[Factor]:
        return block_factors(rows, columns, blocks=self.blocks)
