"""Building a graph step by step; the only mutable thing in this room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from perfsim.errors import GraphError
from perfsim.graph.graph import OperatorGraph
from perfsim.graph.operator import Operator
from perfsim.graph.tensor import Role, Tensor
from perfsim.quantities.dtypes import DType
from perfsim.quantities.numbers import Number

__all__ = ["GraphBuilder"]


class GraphBuilder:
    """Collects tensors and operators; :meth:`build` gives the immutable graph.

    Inside ``with builder.region("layer", 32):`` names get the prefix ``layer.`` and the region is noted.
    """

    def __init__(self) -> None:
        self._operators: list[Operator] = []
        self._tensors: dict[str, Tensor] = {}
        self._regions: dict[str, Number] = {}
        self._region = ""

    @contextmanager
    def region(self, name: str, count: Number) -> Iterator[None]:
        """A part of the graph that is repeated ``count`` times with equal shapes."""
        if self._region or name in self._regions:
            raise GraphError(f'region "{name}" is nested or declared twice; regions are flat and have unique names')
        self._regions[name], self._region = count, name
        yield
        self._region = ""

    def tensor(self, name: str, shape: tuple[Number, ...], dtype: DType, role: Role, **fields: Any) -> str:
        """Add a tensor that no operator produces (weight, cache, input) and return its full name."""
        full = f"{self._region}.{name}" if self._region else name
        if full in self._tensors:
            raise GraphError(f'two tensors are named "{full}"')
        self._tensors[full] = Tensor(full, shape, dtype, role, self._region, **fields)
        return full

    def weight(
        self, name: str, shape: tuple[Number, ...], dtype: DType, shard: int | None = None, expert: bool = False
    ) -> str:
        """Add a weight; ``shard`` is the axis that tensor parallelism splits."""
        return self.tensor(name, shape, dtype, Role.WEIGHT, shard=shard, expert=expert)

    def view(self, name: str, of: str, shape: tuple[Number, ...], shard: int | None = None) -> str:
        """Add a weight that is another shape of the stored tensor ``of``; it takes no memory of its own."""
        stored = self._tensors[of]
        return self.tensor(name, shape, stored.dtype, stored.role, shard=shard, view_of=of)

    def add(
        self,
        kind: type[Operator],
        name: str,
        inputs: tuple[str, ...],
        *,
        outputs: tuple[str, ...] = ("",),
        dtype: DType | None = None,
        dtypes: tuple[DType | None, ...] = (),
        **fields: Any,
    ) -> Any:
        """Add an operator and its output tensors; return the output name, or a tuple of several.

        Outputs are named ``<operator>.<suffix>`` (``<operator>.out`` for the empty suffix), take the
        shapes that the operator derives, and the number format of its first input unless ``dtype`` is given, or
        ``dtypes`` for outputs that differ.
        """
        full = f"{self._region}.{name}" if self._region else name
        names = tuple(f"{full}.{suffix or 'out'}" for suffix in outputs)
        op = kind(name=full, inputs=inputs, outputs=names, region=self._region, **fields)
        chosen = dtype or self._tensors[inputs[0]].dtype
        formats = dtypes or (None,) * len(names)
        for output, shape, own in zip(names, op.output_shapes(self._tensors), formats, strict=True):
            self._tensors[output] = Tensor(output, shape, own or chosen, Role.ACTIVATION, self._region)
        self._operators.append(op)
        return names[0] if len(names) == 1 else names

    def shape(self, name: str) -> tuple[Number, ...]:
        """Shape of a tensor already added."""
        return self._tensors[name].shape

    def build(self) -> OperatorGraph:
        """The finished graph. It is legal by construction; edits are checked by :func:`perfsim.graph.check.check`."""
        return OperatorGraph(tuple(self._operators), dict(self._tensors), dict(self._regions))
