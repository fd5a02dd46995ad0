"""Products whose features are quantised in front of them: what all weight-and-activation formats share."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from perfsim.graph import Operator, OperatorGraph, Tensor
from perfsim.graph.edit import exchanged
from perfsim.ops.quantization import Quantize
from perfsim.quantities.dtypes import DType
from perfsim.techniques.products import stored_weights

__all__ = ["narrow_products", "with_scales"]


def narrow_products(
    graph: OperatorGraph, chosen: Collection[str], features: DType, weights: DType | None, group: int = 0,
    scale_bits: int = 32,
) -> OperatorGraph:  # fmt: skip
    """The graph in which the ``chosen`` products multiply in the format ``features``.

    Their inputs get quantised copies, one per tensor, with ``scale_bits`` per ``group`` values (0: per row); their
    stored weights are in the format ``weights``, None to leave them. Inputs that are as narrow already stay.
    """
    copies: dict[str, str] = {}

    def narrowed(op: Operator, tensors: dict[str, Tensor]) -> Iterator[Operator]:
        source = op.inputs[0]
        if tensors[source].dtype.bits <= features.bits:
            yield op
            return
        if source not in copies:
            copies[source] = f"{source}.quantized"
            narrow = with_scales(features, tensors[source], group, scale_bits)
            tensors[copies[source]] = tensors[source].replace(name=copies[source], dtype=narrow, region=op.region)
            yield Quantize(f"{source}.quantize", (source,), (copies[source],), op.region)
        for name in stored_weights(op, graph) if weights is not None else ():
            tensors[name] = tensors[name].replace(dtype=weights)
        yield replace(op, inputs=(copies[source], *op.inputs[1:]))

    return exchanged(graph, (op for op in graph.operators if op.name in chosen), narrowed)


def with_scales(narrow: DType, tensor: Tensor, group: int, scale_bits: int) -> DType:
    """``narrow`` with a scale of ``scale_bits`` per ``group`` values, or per row for 0, counted in its bits."""
    per_row = tensor.shape[-1] if group == 0 else group
    scales = scale_bits / per_row if isinstance(per_row, int | float) else 0
    return DType(narrow.name, narrow.bits + scales, narrow.kind)  # type: ignore[arg-type]
