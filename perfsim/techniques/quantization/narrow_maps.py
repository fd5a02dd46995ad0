"""Features that stay in a narrow format from layer to layer, as in integer-only inference."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from perfsim.graph import Operator, OperatorGraph, Role
from perfsim.ops import Dequantize
from perfsim.ops.quantization import Quantize
from perfsim.quantities.dtypes import DType
from perfsim.techniques.products import stored_weights

__all__ = ["narrow_regions"]


def narrow_regions(graph: OperatorGraph, regions: Collection[str], narrow: DType) -> OperatorGraph:
    """The graph whose features and weights inside ``regions`` are all in the format ``narrow``.

    What enters from outside is quantised once, what leaves is turned back once; between chosen regions features stay
    narrow. Vectors such as biases and scales keep their format.
    """
    tensors, operators = dict(graph.tensors), list[Operator]()
    inside = {n for op in graph.operators if op.region in regions for n in op.outputs}
    weights = {n for op in graph.operators if op.region in regions for n in stored_weights(op, graph)}
    for name in inside | weights:
        if tensors[name].dtype.bits > narrow.bits:
            tensors[name] = tensors[name].replace(dtype=narrow)
    copies: dict[tuple[str, bool], str] = {}
    for op in graph.operators:
        chosen = op.region in regions
        turned = isinstance(op, Quantize | Dequantize)
        crossing = [n for n in op.inputs if not turned and (n in inside) != chosen and _flows(graph, n)]
        for name in crossing:
            if (name, chosen) not in copies:
                dtype = narrow if chosen else graph.tensors[name].dtype
                copies[name, chosen] = copy = f"{name}.{dtype.name}"
                tensors[copy] = graph.tensors[name].replace(name=copy, dtype=dtype, region="", role=Role.ACTIVATION)
                kind = Quantize if chosen else Dequantize
                operators.append(kind(f"{copy}.convert", (name,), (copy,)))
        operators.append(replace(op, inputs=tuple(copies[n, chosen] if n in crossing else n for n in op.inputs)))
    return replace(graph, tensors=tensors, operators=tuple(operators))


def _flows(graph: OperatorGraph, name: str) -> bool:
    """Whether a tensor is a feature: made by an operator, or given from outside."""
    return graph.producer(name) is not None or graph.tensors[name].role is Role.INPUT
