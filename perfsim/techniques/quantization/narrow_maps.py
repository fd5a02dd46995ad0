"""Features that stay in a narrow format from layer to layer, as in integer-only inference."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from perfsim.graph import Operator, OperatorGraph, Role
from perfsim.ops import Dequantize
from perfsim.ops.quantization import Quantize
from perfsim.quantities.dtypes import DType
from perfsim.techniques.products import stored_weights

__all__ = ["narrow_operators", "narrow_regions"]


def narrow_regions(graph: OperatorGraph, regions: Collection[str], narrow: DType) -> OperatorGraph:
    """The graph whose features and weights inside ``regions`` are all in the format ``narrow``.

    What enters from outside is quantised once, what leaves is turned back once; between chosen regions features stay
    narrow. Vectors such as biases and scales keep their format.
    """
    return narrow_operators(graph, {op.name for op in graph.operators if op.region in regions}, narrow)


def narrow_operators(graph: OperatorGraph, names: Collection[str], narrow: DType) -> OperatorGraph:
    """The graph whose features and weights of the operators ``names`` are all in the format ``narrow``.

    What enters them from others is quantised, what others read of theirs is turned back, once per tensor: in every
    repetition of a region that holds both ends, or both kinds of operators, else once for all repetitions. Vectors such
    as biases and scales keep their format.
    """
    tensors, operators = dict(graph.tensors), list[Operator]()
    inside = {n for op in graph.operators if op.name in names for n in op.outputs}
    weights = {n for op in graph.operators if op.name in names for n in stored_weights(op, graph)}
    for name in inside | weights:
        if tensors[name].dtype.bits > narrow.bits:
            tensors[name] = tensors[name].replace(dtype=narrow)
    narrowed = {op.region for op in graph.operators if op.name in names}
    copies: dict[tuple[str, str], str] = {}
    for op in graph.operators:
        inputs = list(op.inputs)
        for position, name in enumerate(() if isinstance(op, Quantize | Dequantize) else op.inputs):
            if (name in inside) == (op.name in names) or not _flows(graph, name):
                continue
            made = _conversion(graph, name, op, narrow if op.name in names else None, narrowed)
            if (name, made.region) not in copies:
                copies[name, made.region] = copy = made.outputs[0]
                dtype = narrow if op.name in names else graph.tensors[name].dtype
                changes = {"name": copy, "dtype": dtype, "region": made.region, "role": Role.ACTIVATION}
                tensors[copy] = graph.tensors[name].replace(**changes)
                operators.insert(_place(operators, name, made.region, op), made)
            inputs[position] = copies[name, made.region]
        operators.append(replace(op, inputs=tuple(inputs)))
    return replace(graph, tensors=tensors, operators=tuple(operators))


def _conversion(
    graph: OperatorGraph, name: str, reader: Operator, narrow: DType | None, narrowed: Collection[str]
) -> Operator:
    """What turns a tensor into the format of its reader, ``narrow`` or back; where one end repeats, so does it.

    It belongs to the region of the end that stays wide, if that region has narrow operators, too: there every
    repetition converts, because what it hands on is narrow.
    """
    maker = graph.producer(name)
    wide = reader if narrow is None else maker
    region = wide.region if wide is not None and wide.region in narrowed else ""
    dtype = graph.tensors[name].dtype if narrow is None else narrow
    copy = ".".join(filter(None, (name, region, dtype.name)))
    return (Dequantize if narrow is None else Quantize)(f"{copy}.convert", (name,), (copy,), region)


def _place(operators: Sequence[Operator], name: str, region: str, reader: Operator) -> int:
    """Index of a conversion: in front of its reader, or behind the maker if it repeats with that alone."""
    if region in ("", reader.region):
        return len(operators)
    return next(index for index, op in enumerate(operators) if name in op.outputs) + 1


def _flows(graph: OperatorGraph, name: str) -> bool:
    """Whether a tensor is a feature: made by an operator, or given from outside."""
    return graph.producer(name) is not None or graph.tensors[name].role is Role.INPUT
