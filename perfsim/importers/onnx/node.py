"""A node while it is read: what a cost rule sees of it, and how it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from perfsim.errors import ConfigError, InputError
from perfsim.graph import Operator, Role
from perfsim.importers.onnx.order import label
from perfsim.importers.onnx.types import attributes_of
from perfsim.importers.onnx.values import FLOATS, INT8, Value, element_dtype
from perfsim.ops import Dequantize

if TYPE_CHECKING:
    from perfsim.importers.onnx.scope import Scope

__all__ = ["Node"]

Shape = tuple[int, ...]


class Node:
    """inputs: values, None for those left out; types: element type and shape of every output; attributes by name.

    low: whether the node works on the stored few-bit values behind its dequantised inputs.
    """

    def __init__(self, proto: Any, inputs: Sequence[Value | None], scope: Scope) -> None:
        self.proto, self.inputs, self.scope = proto, list(inputs), scope
        self.op_type: str = proto.op_type
        self.types: list[tuple[int, Shape]] = []
        self.low = False
        try:
            self.attributes = attributes_of(proto)
        except (ValueError, TypeError, KeyError, NotImplementedError) as error:
            raise self.fail(f"has an attribute that cannot be read: {error!r:.200}") from None

    @property
    def label(self) -> str:
        """Name in messages."""
        return label(self.proto)

    def fail(self, what: str) -> ConfigError:
        """An error that names file and node."""
        return self.scope.builder.fail(f"node {self.label} {what}")

    def attribute(self, name: str, default: Any = None) -> Any:
        """Value of an attribute."""
        return self.attributes.get(name, default)

    def input(self, index: int) -> Value:
        """An input that must be there.

        Raises
        ------
        ConfigError
            if it is left out.
        """
        value = self.optional(index)
        if value is None:
            raise self.fail(f"lacks its input {index}")
        return value

    def optional(self, index: int) -> Value | None:
        """An input, or None if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def rank(self, index: int, least: int) -> Shape:
        """Shape of an input with at least ``least`` axes.

        Raises
        ------
        ConfigError
            if it has fewer.
        """
        shape = self.input(index).shape
        if len(shape) < least:
            raise self.fail(f"has an input of shape {list(shape)}, expected at least {least} axes")
        return shape

    def shape(self, index: int = 0) -> Shape:
        """Shape of an output."""
        return self.types[index][1]

    def operands(self, values: Sequence[Value | None] | None = None) -> list[Value]:
        """The inputs that move bytes: no single constants, nothing left out."""
        chosen = self.inputs if values is None else values
        return [v for v in chosen if v is not None and not (v.const and v.elements <= 1)]

    def sources(self) -> list[Value]:
        """The operands, or the first input where all are single constants."""
        return self.operands() or [v for v in self.inputs[:1] if v is not None]

    def emit_all(self, kind: type[Operator], operands: Sequence[Value], **fields: Any) -> list[Value | None]:
        """Add an operator that states the shapes of all outputs that somebody named; None stands for the others."""
        named = [index for index, name in enumerate(self.proto.output) if name]
        shapes = tuple(self.types[index][1] for index in named)
        made = self.emit(kind, operands, outputs=named, shapes=shapes, **fields)
        values: list[Value | None] = [None] * len(self.proto.output)
        for index, value in zip(named, made if isinstance(made, list) else [made], strict=True):
            values[index] = value
        return values

    def emit(
        self,
        kind: type[Operator],
        operands: Sequence[Value],
        *,
        seen: Sequence[Shape] | None = None,
        outputs: Sequence[int] = (0,),
        types: Sequence[tuple[int, Shape]] | None = None,
        suffix: str = "",
        **fields: Any,
    ) -> Any:
        """Add an operator; return its output value, or a list of several.

        operands: in the operator's order; seen: shapes under which it reads them, their own by default; outputs: which
        of the node's outputs it makes; types: of intermediate results, which the node does not name; suffix: to the
        name.

        Raises
        ------
        ConfigError
            if the operator makes another number of elements than the node.
        """
        scope, builder = self.scope, self.scope.builder
        resolved = [self._resolved(v) for v in operands]
        views = [v.shape for v in resolved] if seen is None else seen
        wanted = [self.types[i] for i in outputs] if types is None else list(types)
        name = scope.prefix + (self.proto.name or f"{self.op_type}_{self.proto.output[0]}") + suffix
        names = [f"{name}.out{i or ''}" if types is not None else scope.prefix + self.proto.output[o]
                 for i, o in enumerate(outputs if types is None else range(len(wanted)))]  # fmt: skip
        made = [(n, self._made_dtype(elem)) for n, (elem, _) in zip(names, wanted, strict=True)]
        role = Role.WEIGHT if self.low else None
        try:
            roots = builder.add(kind, name, list(zip(resolved, views, strict=True)), made, scope.region, fields, role)
        except (InputError, ValueError, IndexError, TypeError, KeyError, ZeroDivisionError) as error:
            if isinstance(error, ConfigError):
                raise
            raise self.fail(f"cannot be costed: {error}") from None
        values = [Value(n, elem, shape, root) for n, (elem, shape), root in zip(names, wanted, roots, strict=True)]
        for value in values:
            if builder.tensors[value.root].elements != value.elements:
                raise self.fail(f"gives {list(value.shape)}, its cost rule {list(builder.tensors[value.root].shape)}")
            if self.low and builder.tensors[value.root].dtype != element_dtype(value.elem, builder.step.dtype):
                value.low = Value(value.name, INT8, value.shape, value.root)
        return values[0] if len(values) == 1 else values

    def _made_dtype(self, elem: int) -> Any:
        """Format of an output: that of the job, or that of the stored values where they stay quantised."""
        features = self.scope.builder.step.dtype
        if self.low and elem in FLOATS and self.scope.stays_low(self.proto):
            stored = next((v.low.elem for v in self.inputs if v is not None and v.low is not None), INT8)
            return element_dtype(stored, features)
        return element_dtype(elem, features)

    def _resolved(self, value: Value) -> Value:
        """The value as the node reads it: stored bits where it can work on them, else dequantised."""
        if value.low is None:
            return value
        if self.low:
            return value.low
        if value.root not in self.scope.builder.tensors or value.root == value.low.root:
            self._dequantize(value)
        return value

    def _dequantize(self, value: Value) -> None:
        """Add the operator that turns stored bits into the job's format; done once per value."""
        assert value.low is not None
        scope, builder = self.scope, self.scope.builder
        name = f"{scope.prefix}{value.name}.dequantize"
        made = [(f"{scope.prefix}{value.name}.full", builder.step.dtype)]
        (value.root,) = builder.add(
            Dequantize, name, [(value.low, value.low.shape)], made, scope.region, {}, Role.WEIGHT
        )

    def alias(self, value: Value, index: int = 0) -> Value:
        """Output ``index`` as another view of ``value``: nothing is computed and nothing moves."""
        elem, shape = self.types[index]
        if value.const:
            return replace(value, name=self.proto.output[index], elem=elem, shape=shape, load=None, low=None)
        return value.seen_as(self.proto.output[index], elem, shape)
