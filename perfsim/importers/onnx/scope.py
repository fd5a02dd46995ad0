"""Reading one graph, the main one or one inside a node, node by node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import numpy_helper

from perfsim.importers.onnx.builder import Builder
from perfsim.importers.onnx.fold import MOST, evaluate
from perfsim.importers.onnx.node import Node
from perfsim.importers.onnx.order import consumers_of, ordered
from perfsim.importers.onnx.rules import Rule, rules
from perfsim.importers.onnx.rules.unknown import by_traffic
from perfsim.importers.onnx.types import Typing, known_types
from perfsim.importers.onnx.values import FLOATS, INT64, Value
from perfsim.ops.general import Move

__all__ = ["Scope"]

DEEPEST = 16
"""Deepest nesting of sub-graphs."""

_MOVES = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Cast", "DequantizeLinear"})
"""Operators whose constant result is the same stored weight in another arrangement."""

_FROM_SHAPE = frozenset({"Shape", "Size"})
_RANDOM = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"}
)
_LOWERING = ("QuantizeLinear",)
_THROUGH = frozenset({"Relu", "Clip", "LeakyRelu", "Reshape", "Transpose", "MaxPool", "Flatten", "Identity"})


_MALFORMED = (TypeError, ValueError, IndexError, KeyError, AttributeError, ZeroDivisionError, OverflowError)
"""What a rule meets in a node whose attributes have other types or lengths than its operator says."""


class Scope:
    """The values of a graph by name. outer: the scope around it; prefix: of names; region, count: repetition."""

    def __init__(
        self, graph: Any, builder: Builder, typing: Typing, stated: Mapping[str, int], sizes: Mapping[str, int], *,
        outer: Scope | None = None, prefix: str = "", region: str = "", count: int = 1,
    ) -> None:  # fmt: skip
        self.graph, self.builder, self.typing, self.stated, self.sizes = graph, builder, typing, stated, sizes
        self.outer, self.prefix, self.region, self.count = outer, prefix, region, count
        self.depth: int = 0 if outer is None else outer.depth + 1
        if self.depth > DEEPEST:
            raise builder.fail(f"sub-graphs are nested more than {DEEPEST} levels deep")
        self.values: dict[str, Value] = {}
        self.known = known_types(graph, sizes)
        self.readers = consumers_of(graph)

    def find(self, name: str) -> Value | None:
        """The value of a name, here or in a scope around."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.outer
        return None

    def names(self) -> Iterable[str]:
        """All names that can be read here."""
        yield from self.values
        if self.outer is not None:
            yield from self.outer.names()

    def read(self, given: Iterable[Value]) -> list[Value]:
        """Read the whole graph with the values ``given`` as its inputs; return its outputs.

        Raises
        ------
        ConfigError
            naming the node that cannot be followed.
        """
        for value in given:
            self.values[value.name] = value
        for tensor in (*self.graph.initializer, *(sparse.values for sparse in self.graph.sparse_initializer)):
            self.values[tensor.name] = self._stored(tensor)
        outside = () if self.outer is None else self.outer.names()
        for proto in ordered(self.graph, {*self.values, *outside}, self.builder.path):
            self._node(proto)
        return [self._output(info.name) for info in self.graph.output]

    def _output(self, name: str) -> Value:
        found = self.find(name)
        if found is None:
            raise self.builder.fail(f"output {name} is made by no node")
        return found

    def _stored(self, tensor: Any) -> Value:
        """An initialiser; its numbers stay in the file's message until a shape depends on them."""
        shape = self.builder.checked(tensor.name, tuple(tensor.dims))
        value = Value(tensor.name, tensor.data_type, shape, const=True, origin=self.prefix + tensor.name)
        if value.elements <= MOST and tensor.data_location == 0:
            value.load = lambda: self._numbers(tensor)
        return value

    def _numbers(self, tensor: Any) -> Any:
        fields = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
        if not any(getattr(tensor, name) for name in fields):
            return np.zeros(tuple(tensor.dims)) if 0 in tensor.dims else None
        try:
            return numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            text = f"{error!r:.200}"
            raise self.builder.fail(f"tensor {tensor.name} does not hold what its shape needs: {text}") from None

    def _node(self, proto: Any) -> None:
        self.builder.visit()
        inputs = [self.find(name) if name else None for name in proto.input]
        node = Node(proto, inputs, self)
        if any(value is None and name for value, name in zip(inputs, proto.input, strict=True)):
            raise node.fail("reads a value that is not a tensor (a sequence or an optional), which cannot be followed")
        found = rules().get(("" if proto.domain == "ai.onnx" else proto.domain, proto.op_type))
        made = self._made(node, found)
        for name, value in zip(proto.output, made, strict=False):
            if name and value is not None:
                value.name = name
                self.builder.checked(name, value.shape)
                self.values[name] = value

    def _made(self, node: Node, found: Rule | None) -> list[Value | None]:
        """Values of a node's outputs."""
        if found is None or not found.own_shapes:
            self._infer(node)
            constant = self._constant(node)
            if constant is not None:
                return constant
        if found is not None:
            node.low = self._works_low(node, found)
        try:
            result = by_traffic(node) if found is None else found.function(node)
        except _MALFORMED as error:
            raise node.fail(f"cannot be followed: {error!r:.200}") from None
        values = list(result) if isinstance(result, list | tuple) else [result]
        return self._with_by_products(node, values)

    def _with_by_products(self, node: Node, values: list[Value | None]) -> list[Value | None]:
        """Outputs that a rule leaves out, such as the mean of a norm: written, without work of their own."""
        values += [None] * (len(node.proto.output) - len(values))
        for index, (name, (elem, shape)) in enumerate(zip(node.proto.output, node.types, strict=False)):
            if values[index] is None and values[0] is not None and elem and name in self.readers:
                fields: dict[str, Any] = {"shapes": (shape,), "touched": (0,), "label": "by-product"}
                values[index] = node.emit(Move, [values[0]], outputs=(index,), suffix=f".{index}", **fields)
        return values

    def _infer(self, node: Node) -> None:
        """Types of the outputs: inferred, else those that the file states."""
        try:
            types = self.typing.infer(node.proto, node.inputs)
        except ValueError as error:
            raise node.fail(f"does not fit its inputs: {error}") from None
        for index, name in enumerate(node.proto.output):
            elem, shape = types[index]
            stated = self.known.get(name, (0, None))
            if shape is None and stated[1] is not None:
                elem, shape = stated[0] or elem, stated[1]
            if shape is None and name:
                elem, shape = self._assumed(node, index, elem)
            node.types.append((elem, () if shape is None else self.builder.checked(name, shape)))

    def _assumed(self, node: Node, index: int, elem: int) -> tuple[int, tuple[int, ...]]:
        """Type of an output whose size depends on data: the largest that it can have."""
        bound = _BOUNDS.get(node.op_type)
        if bound is not None:
            return elem or 7, bound(node, index)
        name = node.proto.output[index]
        if name not in self.readers:
            return 0, ()
        raise node.fail(
            f"gives {name}, whose shape is not known: it depends on data, or the operator is not known and the file "
            f"states no shape; run shape inference on the file, or export it with fixed sizes"
        )

    def _constant(self, node: Node) -> list[Value | None] | None:
        """The outputs if they are known before the graph runs."""
        if node.op_type in _FROM_SHAPE and node.proto.domain in ("", "ai.onnx"):
            return [self._from_shape(node)]
        inputs = [v for v in node.inputs if v is not None]
        own = node.proto.domain in ("", "ai.onnx")
        if not all(v.const for v in inputs) or (node.proto.attribute and _has_graph(node)) or node.op_type in _RANDOM:
            return None
        if not inputs and node.op_type != "Constant":
            return None
        arrays = self._evaluated(node) if own else None
        values: list[Value | None] = []
        for index, (elem, shape) in enumerate(node.types):
            array = arrays[index] if arrays is not None and index < len(arrays) else None
            load = None if array is None else (lambda a=array: a)
            origin = node.inputs[0].origin if inputs and node.inputs[0] and node.op_type in _MOVES else ""
            value = Value(self.prefix + node.proto.output[index], elem, shape, const=True, load=load, origin=origin)
            if node.op_type == "DequantizeLinear" and own:
                value.low = replace(node.input(0), shape=shape)
            elif node.op_type in _MOVES and inputs and inputs[0].low is not None:
                value.low = replace(inputs[0].low, shape=shape, load=None, name=value.name)
            values.append(value)
        return values

    def _evaluated(self, node: Node) -> list[Any] | None:
        if node.op_type == "Constant":
            attributes = node.attributes
            return [np.asarray(next(iter(attributes.values())))] if attributes else None
        if any(v is not None and v.elements > MOST for v in node.inputs):
            return None
        arrays = [None if v is None else v.array for v in node.inputs]
        if any(a is None and v is not None for a, v in zip(arrays, node.inputs, strict=True)):
            return None
        results: list[Any] | None = evaluate(node.op_type, arrays, node.attributes, [shape for _, shape in node.types])
        if results is None or any(r.shape != s for r, (_, s) in zip(results, node.types, strict=False)):
            return None
        return results

    def _from_shape(self, node: Node) -> Value:
        shape = node.input(0).shape
        if node.op_type == "Size":
            array = np.array(node.input(0).elements, np.int64)
        else:
            start, end = node.attribute("start", 0), node.attribute("end", len(shape))
            array = np.array(shape[slice(start, end)], np.int64)
        return Value(node.proto.output[0], INT64, array.shape, const=True, load=lambda: array)

    def _works_low(self, node: Node, found: Rule) -> bool:
        """Whether a node works on stored few-bit values."""
        features = [v for v in node.inputs if v is not None and v.elem in FLOATS and not (v.const and v.elements <= 1)]
        if not features or features[0].low is None:
            return False
        if found.low == "move":
            return True
        if found.low == "matrix":
            return all(v.low is not None for v in features[:2])
        return bool(found.low) and all(v.low is not None for v in features) and self.stays_low(node.proto)

    def stays_low(self, proto: Any, depth: int = 0) -> bool:
        """Whether all readers of a node quantise its output, maybe behind an activation or a view."""
        rule = rules().get((proto.domain, proto.op_type))
        if rule is not None and rule.low == "move" and depth == 0:
            return True
        readers = self.readers.get(proto.output[0], [])
        return (
            bool(readers)
            and depth < 4
            and all(
                reader is not None
                and (reader.op_type in _LOWERING or (reader.op_type in _THROUGH and self.stays_low(reader, depth + 1)))
                for reader in readers
            )
        )

    def inner(self, graph: Any, prefix: str, region: str = "", count: int = 1) -> Scope:
        """A scope for a sub-graph."""
        return Scope(
            graph, self.builder, self.typing, self.stated, self.sizes, outer=self, prefix=prefix,
            region=region or self.region, count=count,
        )  # fmt: skip


def _has_graph(node: Node) -> bool:
    return any(a.HasField("g") or a.graphs for a in node.proto.attribute)


def _non_zero(node: Node, _: int) -> tuple[int, ...]:
    value = node.input(0)
    return (max(1, len(value.shape)), value.elements)


def _boxes(node: Node, _: int) -> tuple[int, ...]:
    batch, count = node.rank(0, 3)[:2]
    classes = node.rank(1, 3)[1]
    limit = node.optional(2)
    array = None if limit is None else limit.array
    kept = count if array is None else min(count, max(0, int(np.reshape(array, -1)[0])))
    return (batch * classes * kept, 3)


def _unique(node: Node, index: int) -> tuple[int, ...]:
    axis, shape = node.attribute("axis"), node.input(0).shape
    return shape if index == 0 and axis is not None else (node.input(0).elements if axis is None else shape[axis],)


def _compress(node: Node, _: int) -> tuple[int, ...]:
    value = node.input(0)
    return value.shape if node.attribute("axis") is not None else (value.elements,)


_BOUNDS: Mapping[str, Any] = {
    "NonZero": _non_zero, "NonMaxSuppression": _boxes, "Unique": _unique, "Compress": _compress,
}  # fmt: skip
"""Operators whose output depends on data, and the largest shape that it can have."""
