"""The operator graph that grows while an ONNX graph is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from perfsim.architectures import ImageStep
from perfsim.errors import ConfigError
from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.importers.onnx.load import MOST_NODES
from perfsim.importers.onnx.values import FLOATS, LOW, Value, element_dtype
from perfsim.ops.viewed import viewed
from perfsim.quantities.dtypes import DType

__all__ = ["Builder"]

LARGEST = 10**13
"""Most elements of a tensor; beyond it the file is not meant seriously."""


@dataclass
class Builder:
    """Collects operators and tensors; the names are those of the ONNX graph.

    path: for messages; step: what the pass works on.
    """

    path: str
    step: ImageStep
    operators: list[Operator] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    regions: dict[str, int] = field(default_factory=dict)
    stored: dict[str, str] = field(default_factory=dict)
    names: dict[tuple[str, str], None] = field(default_factory=dict)
    maker: dict[str, int] = field(default_factory=dict)
    visited: int = 0

    def fail(self, what: str) -> ConfigError:
        """An error that starts with the file."""
        return ConfigError(f"{self.path}: {what}")

    def visit(self) -> None:
        """Count a node that is read, each pass of an unrolled loop anew.

        Raises
        ------
        ConfigError
            beyond :data:`MOST_NODES`.
        """
        self.visited += 1
        if self.visited > MOST_NODES:
            raise self.fail(f"more than {MOST_NODES} nodes with its sub-graphs unrolled; bind fewer passes")

    def checked(self, name: str, shape: Sequence[int]) -> tuple[int, ...]:
        """``shape`` if a tensor can have it.

        Raises
        ------
        ConfigError
            for negative or absurd sizes.
        """
        elements = 1
        for each in shape:
            if each < 0:
                raise self.fail(f"tensor {name} has shape {list(shape)}: expected sizes of at least 0")
            elements *= each
        if elements > LARGEST:
            size = f"tensor {name} of shape {list(shape)} has {elements:.3g} elements"
            raise self.fail(f"{size}; expected at most {LARGEST:.0e}")
        return tuple(shape)

    def unique(self, name: str, kind: str = "tensor") -> str:
        """``name``, or with a number behind it if another tensor, or operator, has it."""
        chosen, number = name, 2
        while (kind, chosen) in self.names:
            chosen, number = f"{name}_{number}", number + 1
        self.names[kind, chosen] = None
        return chosen

    def given(self, value: Value) -> Value:
        """An input of the graph as a tensor."""
        role = Role.INPUT if value.elem in FLOATS or value.elem in LOW - {6} else Role.INDEX
        value.root = self.unique(value.name)
        self.tensors[value.root] = Tensor(value.root, value.shape, element_dtype(value.elem, self.step.dtype), role)
        return value

    def root(self, value: Value, shape: tuple[int, ...], role: Role | None = None) -> str:
        """Name of the tensor that holds the bytes of ``value``; a constant is registered on first use, as ``shape``.

        role: what a constant is for, if its type does not say it, such as the 32-bit bias of a quantised layer.
        """
        if value.root in self.tensors:
            return value.root
        if not value.const:
            raise self.fail(f"tensor {value.name} has no content: a cycle, or an operator that cannot be followed")
        key = value.origin or value.name
        known = self.stored.get(key)
        same = known is not None and self.tensors[known].elements == value.elements
        if same and known is not None and self.tensors[known].shape == shape:
            value.root = known
            return known
        is_weight = (value.elem in FLOATS or value.elem in LOW - {6}) and value.elements > 1
        role = role or (Role.WEIGHT if is_weight else Role.STATE)
        value.root = self.unique(value.name)
        self.tensors[value.root] = Tensor(
            value.root, shape, element_dtype(value.elem, self.step.weight_dtype), role,
            view_of=known if same and known is not None else "",
        )  # fmt: skip
        self.stored.setdefault(key, value.root)
        return value.root

    def add(
        self, kind: type[Operator], name: str, operands: Sequence[tuple[Value, tuple[int, ...]]],
        outputs: Sequence[tuple[str, DType]], region: str, fields: dict[str, Any], role: Role | None,
    ) -> tuple[str, ...]:  # fmt: skip
        """Add an operator that reads each operand under a shape; return the names of its outputs."""
        inputs: list[str] = []
        views: list[tuple[int, ...] | None] = []
        for value, shape in operands:
            root = self.root(value, shape, role)
            inputs.append(root)
            views.append(None if self.tensors[root].shape == shape else shape)
        names = tuple(self.unique(output) for output, _ in outputs)
        chosen, more = (viewed(kind), {"views": tuple(views)}) if any(v is not None for v in views) else (kind, {})
        op = chosen(
            name=self.unique(name, "operator"), inputs=tuple(inputs), outputs=names, region=region, **fields, **more
        )
        for output, (_, dtype), shape in zip(names, outputs, op.output_shapes(self.tensors), strict=True):
            home = "" if getattr(op, "written", None) is not None else region
            self.tensors[output] = Tensor(output, shape, dtype, Role.ACTIVATION, home)
            self.maker[output] = len(self.operators)
        op.work(self.tensors)  # a rule that cannot be evaluated fails here, where the node is known
        self.operators.append(op)
        return names

    @contextmanager
    def undone_on_failure(self) -> Iterator[None]:
        """Forget what was added inside if it ends in a refusal."""
        tables: tuple[dict[Any, Any], ...] = (self.tensors, self.regions, self.stored, self.names, self.maker)
        operators, sizes = len(self.operators), [len(table) for table in tables]
        try:
            yield
        except ConfigError:
            del self.operators[operators:]
            for table, size in zip(tables, sizes, strict=True):  # entries are only ever added, behind the others
                for _ in range(len(table) - size):
                    table.popitem()
            raise

    def build(self) -> OperatorGraph:
        """The graph.

        Raises
        ------
        ConfigError
            if no operator is left.
        """
        if not self.operators:
            raise self.fail("computes nothing: its outputs are constants or views of its inputs")
        read = ((op, self.tensors[name]) for op in self.operators for name in op.inputs)
        moves = any(op.accessed(t, self.tensors) for op, t in read if t.role is not Role.ACTIVATION)
        if not moves and not any(op.work(self.tensors).flops for op in self.operators):
            raise self.fail("computes nothing and moves nothing: all its inputs are empty")
        return OperatorGraph(tuple(self.operators), dict(self.tensors), dict(self.regions))
