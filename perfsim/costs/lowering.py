"""From operators to kernels: which operators a stack runs as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from perfsim.devices import Stack
from perfsim.graph import Operator, OperatorGraph, Placement, Role, Tensor, Tensors, TiledKernel, Unit
from perfsim.quantities.numbers import Number, is_recorded

__all__ = ["Kernel", "kernels_of", "place_on_chip"]


@dataclass(frozen=True, eq=False)
class Kernel:
    """Operators that run as one launch, and the tensors that cross its border.

    Tensors made and used up inside never leave the chip: fusion is a cut of the graph. tiling: the kernel of the graph
    that this is, if a technique has made one.
    """

    operators: tuple[Operator, ...]
    reads: tuple[tuple[Operator, str], ...]
    writes: tuple[tuple[Operator, str], ...]
    tiling: TiledKernel | None = None

    @cached_property
    def lead(self) -> Operator:
        """The operator that names the kernel: its first one with matrix work, or its first one."""
        return next((op for op in self.operators if op.unit is not Unit.VECTOR), self.operators[0])

    @property
    def name(self) -> str:
        """That of the graph's kernel, or of the leading operator."""
        return self.lead.name if self.tiling is None else self.tiling.name

    @property
    def kind(self) -> str:
        """That of the graph's kernel, or of the leading operator."""
        if self.tiling is not None:
            return self.tiling.kind
        return self.lead.kind if self.lead.unit is not Unit.VECTOR else self.lead.fusion_kind

    def again(self, tensor: str) -> Number:
        """Bytes of a tensor that one execution touches more than once [byte]."""
        return 0 if self.tiling is None else self.tiling.reread.get(tensor, 0)

    def accessed(self, op: Operator, tensor: str, tensors: Tensors) -> Number:
        """Bytes of a tensor that cross the border for ``op``, those that are touched again included [byte]."""
        once, again = op.accessed(tensors[tensor], tensors), self.again(tensor)
        return once if isinstance(again, int) and again == 0 else once + again


@lru_cache(maxsize=64)
def place_on_chip(graph: OperatorGraph) -> OperatorGraph:
    """The graph with all activations kept on chip: what a perfect execution would do."""
    tensors = {
        name: t.replace(placement=Placement.CHIP) if t.role is Role.ACTIVATION or _written(graph, t) else t
        for name, t in graph.tensors.items()
    }
    return replace(graph, tensors=tensors)


def _written(graph: OperatorGraph, tensor: Tensor) -> bool:
    """Whether the pass itself makes what it saves; then it is stored once, and read again from the chip."""
    return tensor.role is Role.SAVED and graph.producer(tensor.name) is not None


def kernels_of(graph: OperatorGraph, stack: Stack) -> tuple[Kernel, ...]:
    """The kernels in which ``stack`` runs ``graph``, in order.

    An operator joins the kernel of its latest producer in the same region if the stack has a fused kernel
    for the pair: a rule ``producer+consumer`` by kind, with ``*`` for any and ``vector`` for element-wise
    work. ``producer+consumer/4`` holds if the consumer's output is a number of matrices that 4 divides
    (batch × heads). Joining the latest producer can never close a cycle. Operators that the graph gives to one
    kernel (:attr:`OperatorGraph.kernels`) always run together.
    """
    return _lowered(graph, stack.fuse)


@lru_cache(maxsize=128)
def _lowered(graph: OperatorGraph, fuse: tuple[str, ...]) -> tuple[Kernel, ...]:
    """A pure function of graph and rules; the last results are kept, because what-ifs ask for them again."""
    rules = _rules(fuse, graph)
    group_of: dict[str, int] = {}
    groups: list[list[Operator]] = []
    started: dict[str, int] = {}
    maker: dict[str, Operator] = {}
    for op in graph.operators:
        given = graph.kernels.get(op.name)
        if given is not None:
            index = started.get(given.name)
        else:
            index = _joins(op, maker, group_of, rules(op)) if fuse else None
        if index is None:
            index = len(groups)
            groups.append([])
        if given is not None:
            started[given.name] = index
        groups[index].append(op)
        group_of[op.name] = index
        for name in op.outputs:
            maker[name] = op
    return _cut(graph, groups, group_of)


def _rules(fuse: tuple[str, ...], graph: OperatorGraph) -> Callable[[Operator], frozenset[str]]:
    """For an operator the kinds of producer whose kernel it may join."""
    table = _rule_table(fuse)

    def wanted(op: Operator) -> frozenset[str]:
        kinds = table.get(op.fusion_kind, {})
        found = {first for first, multiple in kinds.items() if multiple == 1 or _matrices(op, graph) % multiple == 0}
        return frozenset(found | set(table.get("vector", ()))) if op.unit is Unit.VECTOR else frozenset(found)

    return wanted


@lru_cache(maxsize=256)
def _rule_table(fuse: tuple[str, ...]) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for rule in fuse:
        pair, _, multiple = rule.partition("/")
        first, _, second = pair.partition("+")
        table.setdefault(second, {})[first] = int(multiple or 1)
    return table


def _matrices(op: Operator, graph: OperatorGraph) -> Number:
    """Number of matrices in the first output: the product of all but its last two axes; 0 for symbols and arrays."""
    count = math.prod(graph.tensors[op.outputs[0]].shape[:-2])
    return count if is_recorded(count) or isinstance(count, int) else 0


def _joins(
    op: Operator, maker: Mapping[str, Operator], group_of: Mapping[str, int], wanted: frozenset[str]
) -> int | None:
    makers = [maker[name] for name in op.inputs if name in maker]
    if not makers or not wanted:
        return None
    latest = max(makers, key=lambda m: group_of[m.name])
    if latest.region != op.region:
        return None
    match = "*" in wanted or latest.fusion_kind in wanted or (latest.unit is Unit.VECTOR and "vector" in wanted)
    return group_of[latest.name] if match else None


def _cut(graph: OperatorGraph, groups: list[list[Operator]], group_of: Mapping[str, int]) -> tuple[Kernel, ...]:
    readers: dict[str, set[int]] = {}
    for op in graph.operators:
        for name in op.inputs:
            readers.setdefault(name, set()).add(group_of[op.name])
    kernels = []
    for index, operators in enumerate(groups):
        made = {name for op in operators for name in op.outputs} if len(operators) > 1 else frozenset()
        reads: dict[str, tuple[Operator, str]] = {}
        for op in operators:
            for name in op.inputs:
                if name not in made:
                    reads.setdefault(name, (op, name))
        writes = [
            (op, name)
            for op in operators
            for name in op.outputs
            if len(operators) == 1 or readers.get(name, set()) != {index} or graph.tensors[name].role is Role.SAVED
        ]
        tiling = graph.kernels.get(operators[0].name)
        kernels.append(Kernel(tuple(operators), tuple(reads.values()), tuple(writes), tiling))
    return tuple(kernels)
