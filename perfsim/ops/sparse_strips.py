"""Pointwise convolutions with sparse weights on a vector unit: strips of positions, one kept block at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.graph import Tensors, Work
from perfsim.ops.conv import Conv
from perfsim.ops.sparse import SparseProduct
from perfsim.quantities.numbers import Number, ceil_div, maximum

__all__ = ["StripProduct", "busiest_core", "strip_slots"]

PER_BLOCK = 8
"""Scalar instructions per kept block and strip [1]: load the weights, load the offset, step, three prefetches, count,
branch. Counted in XNNPACK's kernels ``32x1-minmax-neonfma-pipelined.c`` and ``32x4-minmax-aarch64-neonfma.c``."""

PER_ROW = 6
"""Scalar instructions per row of blocks and strip [1]: load the count, test it, load the bias, step, count, branch. As
above."""

PER_OUTPUT = 4
"""Vector instructions per vector of outputs [1]: set to the bias, two clamps, store. As above."""


def strip_slots(*, width: int, lanes: int, block: int, issue: float, blocks: Number, rows: Number) -> Number:
    """Time of one strip of ``width`` positions, in times of one vector multiply-accumulate [1].

    lanes: elements of a vector register; block: outputs that share a position in the weights; issue: instructions that
    the core issues in the time of one multiply-accumulate; blocks: kept ones; rows: of blocks.

    A kept block loads every vector of the strip once and multiplies it ``block`` times: the core is busy with the
    multiplications, or with issuing all instructions, whichever takes longer. Rows come on top.

    References
    ----------
    .. [1] E. Elsen et al., "Fast Sparse ConvNets", arXiv 1911.09723, and google/XNNPACK@171707518e3e, src/f32-spmm.
    """
    vectors = max(width // lanes, 1)
    multiplies = block * vectors
    per_block = max(multiplies, (multiplies + vectors + PER_BLOCK) / issue)
    return blocks * per_block + rows * (PER_OUTPUT * multiplies + PER_ROW) / issue


def busiest_core(*, whole: Number, rest: Number, images: Number, strip: Number, cores: Number) -> Number:
    """Time of the core with most work [1], in units of ``strip``.

    whole: full strips of all images; rest: time of the remaining positions of one image; images; strip: time of a full
    strip; cores. Strips and remainders are handed out whole, so few positions leave cores without work.

    References
    ----------
    .. [1] google/XNNPACK, src/operators/convolution-nchw.c: tiles of whole strips, shared out among the threads.
    """
    total = whole * strip + images * rest
    return maximum(total / cores, ceil_div(whole, cores) * strip, ceil_div(images, cores) * rest)


@dataclass(frozen=True, eq=False)
class StripProduct(SparseProduct):
    """The pointwise convolution ``dense`` with a share ``kept`` of its weights, in maps stored channel by channel.

    strip: positions that stay in registers while all kept weights of an image pass by, a power of two; block, lanes,
    issue: as in :func:`strip_slots`; cores: that share the strips. Positions that do not fill a strip run in strips of
    half the width, a quarter, ..., one, each of which passes all kept weights again.
    """

    strip: int = 32
    block: int = 1
    lanes: int = 4
    issue: float = 2.0
    cores: Number = 1

    kind = "sparse-pointwise"
    reference = "arXiv 1911.09723"

    def work(self, tensors: Tensors) -> Work:
        """FLOP of the kept products; ``executed``: time of the busiest core over that of kept ones at full rate.

        No matrix: a stack's tiles and their set-up are those of dense kernels.
        """
        assert isinstance(self.dense, Conv)
        conv = self._product
        assert isinstance(conv, Conv)
        shape, images = conv.matrix(tensors), tensors[self.inputs[0]].shape[0]
        positions = math.prod(conv.positions(tensors))
        rows = shape.n / self.block
        blocks = rows * shape.k * self.kept
        whole = _whole(positions, self.strip)
        rest = self._rest(positions - whole * self.strip, blocks, rows)
        strip = self._slots(self.strip, blocks, rows)
        busiest = busiest_core(whole=images * whole, rest=rest, images=images, strip=strip, cores=self.cores)
        products = images * positions * shape.n * shape.k * self.kept
        executed = busiest * self.cores * self.lanes / products
        return Work(2 * products, self.unit, self.compute_dtype(tensors), None, executed)

    def _rest(self, positions: Number, blocks: Number, rows: Number) -> Number:
        """Time of fewer positions than a strip has: strips of half its width, a quarter, ..., one."""
        time: Number = 0.0
        width = self.strip // 2
        while width:
            strips = _whole(positions, width)
            time, positions = time + strips * self._slots(width, blocks, rows), positions - strips * width
            width //= 2
        return time

    def _slots(self, width: int, blocks: Number, rows: Number) -> Number:
        shape = {"lanes": self.lanes, "block": self.block}
        return strip_slots(width=width, issue=self.issue, blocks=blocks, rows=rows, **shape)


def _whole(dividend: Number, divisor: int) -> Number:
    """Whole times that ``divisor`` fits into ``dividend`` [1]."""
    return ceil_div(dividend - (divisor - 1), divisor)
