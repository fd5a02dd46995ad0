"""Cutting token maps into blocks with a halo: what local attention reads."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensor, Tensors, Work
from perfsim.quantities.numbers import Number, ceil_div

__all__ = ["FromBlocks", "ToBlocks"]


@dataclass(frozen=True, eq=False)
class ToBlocks(Operator):
    """(batch, side², width) → (batch · blocks, (block + 2·halo)², heads, width / heads).

    side: tokens per side of the map; block: of a block without its halo; halo: tokens around it, which neighbouring
    blocks read, too, so that every token is copied (block + 2·halo)² / block² times; heads: they share the width. A
    map that blocks do not divide is padded. Halo attention is attention of every block of queries (halo 0) to its
    block of keys and values: this copy, then :class:`~perfsim.ops.attention.FusedAttention`. A stack that fuses the
    two gathers inside the kernel.

    References
    ----------
    .. [1] A. Vaswani et al., "Scaling Local Self-Attention for Parameter Efficient Visual Backbones", arXiv 2103.12731.
    """

    side: Number = 1
    block: int = 8
    halo: int = 0
    heads: int = 1

    kind = "to-blocks"
    reference = "arXiv 2103.12731"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, _, width = tensors[self.inputs[0]].shape
        blocks = ceil_div(self.side, self.block) ** 2
        return ((batch * blocks, (self.block + 2 * self.halo) ** 2, self.heads, width // self.heads),)

    def work(self, tensors: Tensors) -> Work:
        return Work(0, self.unit, self.compute_dtype(tensors))


@dataclass(frozen=True, eq=False)
class FromBlocks(Operator):
    """The way back: (batch · blocks, block², heads, dim) → (batch, heads · dim, side, side).

    inputs: the blocks and, for the batch size, the map that they were cut from; side: positions per side.
    """

    side: Number = 1

    kind = "from-blocks"
    reference = "arXiv 2103.12731"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        _, _, heads, dim = tensors[self.inputs[0]].shape
        return ((tensors[self.inputs[1]].shape[0], heads * dim, self.side, self.side),)

    def work(self, tensors: Tensors) -> Work:
        return Work(0, self.unit, self.compute_dtype(tensors))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """Of the map only the shape is used [byte]."""
        return 0 if tensor.name == self.inputs[1] else tensor.nbytes
