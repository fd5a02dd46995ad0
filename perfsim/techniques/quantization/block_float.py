"""Block floating formats: narrow floats that share a scale in short blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from perfsim.devices import Device
from perfsim.graph import OperatorGraph
from perfsim.quantities.dtypes import DTYPES, DType
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.products import layer_products, nothing_stored
from perfsim.techniques.quantization.narrowing import narrow_products
from perfsim.techniques.quantization.packing import Packing, grouped_bits, pack_weights
from perfsim.workloads import Plan

__all__ = ["BLOCK_FORMATS", "BlockFloat", "computed_in"]

BLOCK_FORMATS: Mapping[str, tuple[str, int, int]] = MappingProxyType({
    "mxfp8": ("fp8_e4m3", 32, 8),
    "mxfp6": ("fp6", 32, 8),
    "mxfp4": ("fp4", 32, 8),
    "nvfp4": ("fp4", 16, 8),
})
"""Element, elements per block and bits of the block's scale, by format; one more scale per tensor is left out."""


def computed_in(device: Device, element: DType) -> DType | None:
    """The narrowest float format of the matrix unit that holds ``element``; None if only 16 bits or more do."""
    floats = (DTYPES[name] for name in device.formats)
    fitting = [d for d in floats if d.kind == "float" and element.bits <= d.bits < 16]
    return min(fitting, key=lambda d: d.bits) if fitting else None


@dataclass(frozen=True, kw_only=True)
class BlockFloat(GraphRewrite):
    """Weights, and features if ``features`` is 1, in a block floating format; scales count in the bytes.

    Where the device multiplies the element's format, products run at that peak. Where it does not, they run in the
    narrowest wider float it has, weights being widened in front of the product (in the matrix kernel where the stack
    has one for ``dequantize+linear``); with no float below 16 bits, or ``features`` 0, only the stored bytes shrink.

    References
    ----------
    .. [1] B. Rouhani et al., "Microscaling Data Formats for Deep Learning", arXiv 2310.10537.
    """

    format: str = parameter("mxfp4", "block format", choices=tuple(BLOCK_FORMATS))
    features: int = parameter(1, "1 if features are quantised, too, else 0", least=0, most=1)

    name = "block-floating-point"
    reference = "arXiv 2310.10537"
    idempotent = False

    def requires(self, plan: Plan, context: Context) -> str | None:
        return nothing_stored(phase.graph for phase in plan.phases)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        element, block, scale = BLOCK_FORMATS[self.format]
        narrow = DTYPES[element]
        bits = grouped_bits(bits=narrow.bits, group=block, per_group=scale)
        stored = DType(self.format, bits, "float")  # type: ignore[arg-type]
        chosen = {op.name for op in layer_products(graph)}
        arithmetic = computed_in(context.system.device, narrow) if self.features else None
        if arithmetic is None:
            return pack_weights(graph, {name: Packing(stored) for name in chosen})
        native = arithmetic.name == narrow.name
        graph = narrow_products(graph, chosen, arithmetic, stored if native else arithmetic, block, scale)
        return graph if native else pack_weights(graph, {name: Packing(stored) for name in chosen})
