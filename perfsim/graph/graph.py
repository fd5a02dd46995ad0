"""The operator graph: immutable, with operators and tensors as two kinds of node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from perfsim.errors import GraphError
from perfsim.graph.operator import Operator
from perfsim.graph.tensor import Role, Tensor
from perfsim.graph.tiled import TiledKernel
from perfsim.quantities.numbers import Number

if TYPE_CHECKING:
    import networkx

__all__ = ["OperatorGraph"]


@dataclass(frozen=True, eq=False)
class OperatorGraph:
    """Operators in an order in which they can run, and the tensors between them.

    operators: topologically sorted; tensors: by name; regions: how often each region is repeated, by
    region name, in execution order. Operators and tensors of a region stand for all of its repetitions:
    the weights of a layer exist ``count`` times, its activations once at a time.
    kernels: by operator the kernel that it has to run in; remarks: what a technique wants the reader to know.
    """

    operators: tuple[Operator, ...]
    tensors: Mapping[str, Tensor]
    regions: Mapping[str, Number] = field(default_factory=dict)
    kernels: Mapping[str, TiledKernel] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def count(self, node: Operator | Tensor) -> Number:
        """How many copies of ``node`` the graph stands for."""
        return self.regions[node.region] if node.region else 1

    def producer(self, tensor: str) -> Operator | None:
        """The operator that writes ``tensor``; None for inputs, weights and caches."""
        return self._producers.get(tensor)

    def consumers(self, tensor: str) -> tuple[Operator, ...]:
        """The operators that read ``tensor``, in order."""
        return self._consumers.get(tensor, ())

    @cached_property
    def _producers(self) -> dict[str, Operator]:
        return {name: op for op in self.operators for name in op.outputs}

    @cached_property
    def _consumers(self) -> dict[str, tuple[Operator, ...]]:
        table: dict[str, list[Operator]] = {}
        for op in self.operators:
            for name in op.inputs:
                table.setdefault(name, []).append(op)
        return {name: tuple(ops) for name, ops in table.items()}

    def of_role(self, *roles: Role) -> Iterator[Tensor]:
        """Stored tensors of the given roles; views of another tensor are left out."""
        return (t for t in self.tensors.values() if t.role in roles and not t.view_of)

    def footprint(self, *roles: Role) -> Number:
        """Bytes to store all tensors of the given roles, every repetition counted [byte]."""
        return sum(t.nbytes * self.count(t) for t in self.of_role(*roles))

    @property
    def parameters(self) -> Number:
        """Stored weights, each counted once [1]."""
        return sum(t.elements * self.count(t) for t in self.of_role(Role.WEIGHT))

    def operator(self, name: str) -> Operator:
        """Operator by name.

        Raises
        ------
        GraphError
            if there is none; the message lists what there is.
        """
        for op in self.operators:
            if op.name == name:
                return op
        raise GraphError(f'no operator "{name}" in the graph; there are: {", ".join(o.name for o in self.operators)}')

    def to_networkx(self) -> networkx.DiGraph:
        """The same graph as a frozen ``networkx.DiGraph`` with nodes ``("operator"|"tensor", name)``."""
        import networkx

        digraph = networkx.DiGraph()
        for tensor in self.tensors.values():
            digraph.add_node(("tensor", tensor.name), tensor=tensor)
        for op in self.operators:
            digraph.add_node(("operator", op.name), operator=op)
            digraph.add_edges_from((("tensor", t), ("operator", op.name)) for t in op.inputs)
            digraph.add_edges_from((("operator", op.name), ("tensor", t)) for t in op.outputs)
        return networkx.freeze(digraph)
