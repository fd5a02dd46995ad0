"""Cutting token maps into blocks with a halo: what local attention reads."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensor, Tensors, Work
from perfsim.quantities.numbers import Number, ceil_div

__all__ = ["FromBlocks", "RelativeLogits", "ToBlocks"]


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


@dataclass(frozen=True, eq=False)
class RelativeLogits(Operator):
    """Logits of every (query, key) pair of a block from those of its row and of its column distance.

    inputs: two tensors (blocks, queries, heads, distances), each a product of the queries with learned vectors; output:
    (blocks, heads, queries, window²), what is added to the scores. window: keys per side.

    References
    ----------
    .. [1] I. Bello et al., "Attention Augmented Convolutional Networks", arXiv 1904.09925.
    """

    window: int = 1

    kind = "relative-logits"
    reference = "arXiv 1904.09925"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        blocks, queries, heads, _ = tensors[self.inputs[0]].shape
        return ((blocks, heads, queries, self.window**2),)

    def work(self, tensors: Tensors) -> Work:
        """One addition per pair [FLOP]."""
        blocks, heads, queries, keys = self.output_shapes(tensors)[0]
        return Work(blocks * heads * queries * keys, self.unit, self.compute_dtype(tensors))
