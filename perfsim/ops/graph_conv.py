"""Aggregation over the edges of a data graph: the sparse half of a graph convolution."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensor, Tensors, Work
from perfsim.quantities.numbers import Number, maximum, minimum

__all__ = ["Aggregate"]


@dataclass(frozen=True, eq=False)
class Aggregate(Operator):
    """For each node the sum of its neighbours' features: (nodes, width) → (nodes, width).

    inputs: features (nodes, width), edges (2, edges) as pairs of indices and, for a weighted sum, one factor per edge
    (edges,). A graph convolution is this operator and a :class:`~perfsim.ops.linear.Linear`, in the order that is
    cheaper: the sum first where the layer widens, the projection first where it narrows. hit_rate: share of the
    repeated reads of a row that some cache serves, 1 for the bound, in which every row comes from memory once.

    References
    ----------
    .. [1] T. Kipf, M. Welling, "Semi-Supervised Classification with Graph Convolutional Networks", arXiv 1609.02907.
    """

    hit_rate: Number = 1.0

    kind = "aggregate"
    reference = "arXiv 1609.02907"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def work(self, tensors: Tensors) -> Work:
        """One addition per edge and feature, and one product if edges have factors [FLOP]."""
        edges, width = tensors[self.inputs[1]].shape[-1], tensors[self.inputs[0]].shape[-1]
        return Work((len(self.inputs) - 1) * edges * width, self.unit, self.compute_dtype(tensors))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """Of the features each row once, and again for every further edge that misses the cache [byte]."""
        if tensor.name != self.inputs[0]:
            return tensor.nbytes
        (nodes, width), edges = tensor.shape, tensors[self.inputs[1]].shape[-1]
        rows = minimum(nodes, edges) + maximum(edges - nodes, 0) * (1 - self.hit_rate)
        return tensor.dtype.nbytes(rows * width)
