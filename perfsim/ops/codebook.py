"""Products with weights that are indices: decoding from codebooks, and look-up tables of partial sums."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensor, Tensors, Unit, Work
from perfsim.ops.quantization import Dequantize
from perfsim.quantities.numbers import Number, ceil_div

__all__ = ["BitPlaneDequantize", "DecodeCodebook", "Hadamard", "LookupProduct", "decode_flops", "lookup_flops"]


def decode_flops(*, weights: Number, vector: int, codebooks: int) -> Number:
    """Operations that turn indices into weights [FLOP]: per weight and codebook one load-and-add, one scaling.

    weights: how many [1]; vector: weights per index [1]; codebooks: whose entries are added up [1]; Per index
    one address is computed.

    References
    ----------
    .. [1] V. Egiazarian et al., "AQLM", arXiv 2401.06118.
    """
    return weights * (codebooks + codebooks / vector + 1)


def lookup_flops(*, rows: Number, inner: Number, outer: Number, bits: float, span: int, group: int) -> Number:
    """Operations of a product by tables of partial sums [FLOP].

    rows × inner features times inner × outer weights of ``bits`` bit planes; span: activations per table [1]; group:
    weights that share a scale per plane [1]. Tables: each of rows·inner/span has 2^span sums, one addition each by
    Gray order. Look-ups: rows·outer·bits·inner/span, one load and one addition each. Scales: one multiplication and one
    addition per plane, output and group.

    References
    ----------
    .. [1] G. Park et al., "LUT-GEMM", arXiv 2206.09557, section 3.
    """
    tables = rows * ceil_div(inner, span) * 2**span
    lookups = 2 * rows * outer * bits * ceil_div(inner, span)
    return tables + lookups + 2 * rows * outer * bits * ceil_div(inner, group)


@dataclass(frozen=True, eq=False)
class DecodeCodebook(Dequantize):
    """Indices to weights by tables that are read once per product and then looked up on chip.

    inputs: the packed weights, then one table for each. vector, codebooks: as for :func:`decode_flops`.
    """

    vector: int = 8
    codebooks: int = 1

    reference = "arXiv 2401.06118"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return tuple(tensors[name].shape for name in self.inputs[: len(self.outputs)])

    def work(self, tensors: Tensors) -> Work:
        """See :func:`decode_flops`."""
        weights = sum(tensors[name].elements for name in self.inputs[: len(self.outputs)]) * self._share(tensors)
        flops = decode_flops(weights=weights, vector=self.vector, codebooks=self.codebooks)
        return Work(flops, self.unit, self.compute_dtype(tensors))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        if tensor.name in self.inputs[len(self.outputs) :]:
            return tensor.nbytes
        return super().accessed(tensor, tensors)


@dataclass(frozen=True, eq=False)
class BitPlaneDequantize(Dequantize):
    """Dequantisation of weights of which only the leading bits are read. read: bits read over bits stored [1]."""

    read: float = 1.0

    reference = "arXiv 2502.01199"

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        nbytes = super().accessed(tensor, tensors)
        return nbytes * self.read if tensor.name in self.inputs else nbytes


@dataclass(frozen=True, eq=False)
class LookupProduct(Operator):
    """The product ``dense`` with weights as bit planes: sums of few activations come from tables in on-chip memory.

    No multiplication and no unpacking; the vector unit does the work, which goes with the bits. bits, span, group: as
    for :func:`lookup_flops`.
    """

    dense: Operator | None = None
    bits: float = 4
    span: int = 8
    group: int = 128

    kind = "lookup-product"
    unit = Unit.VECTOR
    reference = "arXiv 2206.09557"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        assert self.dense is not None
        return self.dense.output_shapes(tensors)

    def work(self, tensors: Tensors) -> Work:
        """See :func:`lookup_flops`."""
        assert self.dense is not None
        matrix = self.dense.work(tensors).matrix
        assert matrix is not None
        flops = matrix.batch * lookup_flops(
            rows=matrix.m, inner=matrix.k, outer=matrix.n, bits=self.bits, span=self.span, group=self.group
        )
        return Work(flops, self.unit, self.compute_dtype(tensors))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        assert self.dense is not None
        return self.dense.accessed(tensor, tensors)

    def partial_output(self, tensors: Tensors) -> bool:
        assert self.dense is not None
        return self.dense.partial_output(tensors)


@dataclass(frozen=True, eq=False)
class Hadamard(Operator):
    """Fast Walsh-Hadamard transform of the last ``axes`` axes: log2 of their size additions per element.

    It spreads outliers over a vector, so that what is quantised has none; sizes that are no power of two count alike.

    References
    ----------
    .. [1] A. Tseng et al., "QuIP#", arXiv 2402.04396. [2] S. Ashkboos et al., "QuaRot", arXiv 2404.00456.
    """

    axes: int = 1

    kind = "hadamard"
    reference = "arXiv 2404.00456"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def work(self, tensors: Tensors) -> Work:
        """Elements · log2(size) [FLOP]."""
        source = tensors[self.inputs[0]]
        size = math.prod(source.shape[-self.axes :])
        return Work(source.elements * math.ceil(math.log2(max(2, size))), self.unit, self.compute_dtype(tensors))
