"""Types of a node's outputs, by the shape inference of the package onnx, one node at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import defs, helper, numpy_helper, shape_inference

from perfsim.importers.onnx.values import Value

__all__ = ["Typing", "attributes_of", "known_types"]

SMALL = 1 << 12
"""Largest constant that shape inference is given [1]."""

Type = tuple[int, tuple[int, ...] | None]
"""Element type (0 if it is not a tensor or not known) and shape, None where it is not known."""


def attributes_of(node: Any) -> dict[str, Any]:
    """Attributes as Python values, tensors as arrays where they hold their numbers; sub-graphs are left out."""
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            continue
        value = helper.get_attribute_value(attribute)
        if attribute.type == onnx.AttributeProto.TENSOR:
            value = numpy_helper.to_array(value)
        found[attribute.name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return found


def known_types(graph: Any, sizes: Mapping[str, int]) -> dict[str, Type]:
    """Types that the file states for values, with named axes bound by ``sizes``."""
    table = {}
    for info in (*graph.value_info, *graph.output):
        if info.type.WhichOneof("value") == "tensor_type":
            table[info.name] = _type(info.type, sizes)
    return table


def _type(proto: Any, sizes: Mapping[str, int] | None = None) -> Type:
    tensor = proto.tensor_type
    if not tensor.HasField("shape"):
        return tensor.elem_type, None
    shape = []
    for dim in tensor.shape.dim:
        size = dim.dim_value if dim.HasField("dim_value") else (sizes or {}).get(dim.dim_param, -1)
        if size < 0:
            return tensor.elem_type, None
        shape.append(size)
    return tensor.elem_type, tuple(shape)


class Typing:
    """Shape inference under the operator sets that a model imports."""

    def __init__(self, model: Any) -> None:
        self.versions = {entry.domain: entry.version for entry in model.opset_import}
        self.versions[""] = self.versions.get("", self.versions.get("ai.onnx", 1))
        self.imports = list(model.opset_import)
        self.rules: dict[tuple[str, str], tuple[int, int, int, int, dict[str, tuple[int, bool]]]] = {}

    def schema(self, node: Any) -> Any:
        """Schema of a node's operator, None for one that the package onnx does not know."""
        domain = "" if node.domain == "ai.onnx" else node.domain
        try:
            return defs.get_schema(
                node.op_type, max_inclusive_version=min(self.versions.get(domain, 1), 2**31 - 1), domain=domain
            )
        except defs.SchemaError:
            return None

    def _check(self, node: Any, schema: Any) -> None:
        """Numbers of inputs and outputs and types of attributes; the inference relies on them.

        Raises
        ------
        ValueError
            for the first one that is not as the operator says.
        """
        key = schema.domain, schema.name
        if key not in self.rules:
            kinds = {name: (int(a.type.value), a.required) for name, a in schema.attributes.items()}
            self.rules[key] = schema.min_input, schema.max_input, schema.min_output, schema.max_output, kinds
        least, most, fewest, largest, kinds = self.rules[key]
        if not least <= len(node.input) <= most or not fewest <= len(node.output) <= largest:
            counts = f"{len(node.input)} inputs and {len(node.output)} outputs"
            raise ValueError(f"it has {counts}, expected {least} to {most} and {fewest} to {largest}")
        stated = {attribute.name: attribute.type for attribute in node.attribute}
        for name, kind in stated.items():
            if name in kinds and kind != kinds[name][0]:
                raise ValueError(f"its attribute {name} has another type than {schema.name} takes")
        promised = next(
            (attribute.i for attribute in node.attribute if attribute.name == "num_outputs"), len(node.output)
        )
        if promised != len(node.output):  # the inference of Split writes as many types as it says
            raise ValueError(f"it says num_outputs={promised} and has {len(node.output)} outputs")
        missing = [name for name, (_, required) in kinds.items() if required and name not in stated]
        if missing:
            raise ValueError(f"it lacks the attribute {missing[0]}")

    def infer(self, node: Any, inputs: Sequence[Value | None]) -> list[Type]:
        """Types of all outputs of a node, unknown ones as (0, None).

        Raises
        ------
        ValueError
            with the first line of what the inference has against the node.
        """
        unknown: list[Type] = [(0, None)] * len(node.output)
        schema = self.schema(node)
        if schema is None:
            return unknown
        self._check(node, schema)
        present = [v for v in inputs if v is not None]
        types = {
            name: helper.make_tensor_type_proto(v.elem, v.shape)
            for name, v in zip((n for n in node.input if n), present, strict=True)
        }
        data = {
            name: numpy_helper.from_array(np.ascontiguousarray(v.array).reshape(v.shape))
            for name, v in zip((n for n in node.input if n), present, strict=True)
            if v.elements <= SMALL and v.elem in (1, 6, 7, 11) and v.array is not None
        }
        try:
            found = shape_inference.infer_node_outputs(schema, node, types, data, opset_imports=self.imports)
        except (shape_inference.InferenceError, onnx.checker.ValidationError) as error:
            lines = str(error).strip().splitlines()
            raise ValueError(lines[0] if lines else "its inputs do not fit together") from None
        except (RuntimeError, KeyError, TypeError):  # operators whose inference needs more than types
            return unknown
        return [_type(found[n]) if n in found and found[n].HasField("tensor_type") else (0, None) for n in node.output]
