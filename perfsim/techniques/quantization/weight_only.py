"""Weight-only quantisation: weights are stored in few bits and multiplied in the format of the activations."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import OperatorGraph
from perfsim.quantities.dtypes import DTYPES, DType
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.products import layer_products
from perfsim.techniques.quantization.packing import Packing, grouped_bits, integer_format, pack_weights, unknown_width

__all__ = ["WeightQuantization"]


@dataclass(frozen=True, kw_only=True)
class WeightQuantization(GraphRewrite):
    """Weights of the layers in ``bits`` bits with one 16-bit scale (and zero point) per ``group``.

    Embedding, head, norms and biases keep their format. Each matrix is dequantised where it is used: inside the
    matrix kernel if the stack has a kernel for ``dequantize+linear``, else through main memory. With ``format`` the
    stored values are of that format, e.g. ``fp8_e4m3`` or ``fp6``, and have no zero point. ``outliers`` of the weights
    stay in 16 bits beside the others, each with a 32-bit position; their few products are not charged.

    References
    ----------
    .. [1] E. Frantar et al., "GPTQ", arXiv 2210.17323. [2] J. Lin et al., "AWQ", arXiv 2306.00978. [3] T. Dettmers et
       al., "SpQR", arXiv 2306.03078: outliers.
    """

    bits: int = parameter(4, "bits per stored weight", unit="bit", least=1, most=8)
    group: int = parameter(128, "weights that share a scale", least=1, most=65536)
    zero_point: int = parameter(1, "1 if each group stores a zero point of `bits` bits, else 0", least=0, most=1)
    format: str = parameter("", "number format of stored weights instead of integers of `bits` bits", unit="name")
    outliers: float = parameter(0.0, "weights that stay in 16 bits, over all", least=0.0, most=1.0)

    name = "weight-quantization"
    reference = "arXiv 2306.00978"
    idempotent = False

    def requires(self, plan: object, context: Context) -> str | None:
        if self.format and self.format not in DTYPES:
            return f'format="{self.format}" is not a number format; known: {", ".join(DTYPES)}'
        return unknown_width(self.bits)

    @property
    def stored(self) -> DType:
        """The format of the weights; its bits count scales, zero points and outliers."""
        plain = integer_format(bits=self.bits, group=self.group, zero_point=self.zero_point)
        if self.format:
            wide = DTYPES[self.format]
            bits = grouped_bits(bits=wide.bits, group=self.group, per_group=16)
            plain = DType(f"{wide.name}-group{self.group}", bits, wide.kind)  # type: ignore[arg-type]
        return DType(plain.name, plain.bits + self.outliers * (16 + 32), plain.kind) if self.outliers else plain  # type: ignore[arg-type]

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        """Weights in the stored format, and one dequantisation in front of every product with them."""
        return pack_weights(graph, {op.name: Packing(self.stored) for op in layer_products(graph)})
