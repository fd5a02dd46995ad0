"""Blocks of a graph: chains of operators that work position by position or on a window of positions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from perfsim.graph import Operator, OperatorGraph, Role
from perfsim.ops import BatchNorm, Conv, Elementwise, GlobalPool, Norm, ResponseNorm, TransposedConv
from perfsim.ops.general import Pointwise, Reduction

__all__ = ["Chain", "Cut", "Stage", "blocks_of", "joined"]

ONES = (1, 1)


@dataclass(frozen=True, eq=False)
class Stage:
    """One operator of a chain.

    source, result: its feature maps; kernel, stride, padding, dilation: of its window, per axis; dense: whether each
    output channel needs all input channels; whole: whether it needs all channels of a position at once without mixing
    them (norms); group: channels that go together; sides: further feature maps that it reads; weights: what it stores.
    """

    operator: Operator
    source: str
    result: str
    kernel: tuple[int, ...] = ONES
    stride: tuple[int, ...] = ONES
    padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = ONES
    dense: bool = False
    whole: bool = False
    group: int = 1
    sides: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()

    @property
    def spatial(self) -> bool:
        """Whether it looks at more than one position, or skips some."""
        return self.kernel != ONES or self.stride != ONES

    @property
    def pointwise(self) -> bool:
        """Whether it is a dense convolution of single positions."""
        return self.dense and self.kernel == ONES

    def window(self, axis: int) -> tuple[int, int, int]:
        """Extent of the window, its step, and the padding in front of the map, along one axis."""
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1, self.stride[axis], self.padding[axis] // 2


@dataclass(frozen=True, eq=False)
class Chain:
    """Stages that one kernel can run: the result of each is the source of the next and is used nowhere else.

    name: region or first operator; blocks: how many blocks it joins.
    """

    name: str
    stages: tuple[Stage, ...]
    blocks: int = 1

    @property
    def source(self) -> str:
        """The map that it reads."""
        return self.stages[0].source

    @property
    def result(self) -> str:
        """The map that it writes."""
        return self.stages[-1].result

    @cached_property
    def operators(self) -> tuple[str, ...]:
        """Names of its operators, in order."""
        return tuple(stage.operator.name for stage in self.stages)

    @cached_property
    def tensors(self) -> tuple[str, ...]:
        """Its feature maps, source first."""
        return (self.source, *(stage.result for stage in self.stages))

    @cached_property
    def kept(self) -> tuple[tuple[int, int], ...]:
        """(index of a map, index of the later stage that adds it): residuals from inside."""
        index = {name: position for position, name in enumerate(self.tensors)}
        return tuple((index[s], at) for at, stage in enumerate(self.stages) for s in stage.sides if s in index)

    @cached_property
    def outside(self) -> tuple[str, ...]:
        """Further feature maps that it reads from outside."""
        inside = set(self.tensors)
        return tuple(side for stage in self.stages for side in stage.sides if side not in inside)

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """All that it stores."""
        return tuple(dict.fromkeys(name for stage in self.stages for name in stage.weights))


@dataclass(frozen=True)
class Cut:
    """Where a chain had to end: its last operator, and the operator behind it that needs the whole map."""

    chain: str
    at: str
    kind: str


def blocks_of(graph: OperatorGraph) -> tuple[list[Chain], list[Cut]]:
    """The blocks of ``graph`` that one kernel each could run, and where a global reduction cuts one.

    A block is a chain of convolutions, norms, element-wise work and additions within one region. It ends where its
    map is used more than once, behind a residual addition (and its activation), and behind the pointwise convolution
    that follows a spatial one, unless a narrowing one comes next: ConvFirst, MBConv, Fused-MBConv, ConvNeXt, inverted
    residuals, bottlenecks and depthwise separable convolutions, whatever they are called.
    """
    chains: list[Chain] = []
    cuts: list[Cut] = []
    taken: set[str] = set(graph.kernels)
    for op in graph.operators:
        if op.name in taken:
            continue
        first = _stage(op, graph, "")
        if first is None:
            continue
        stages = _extended([first], graph, taken)
        taken.update(stage.operator.name for stage in stages)
        name = op.region if op.region else op.name
        cut = _reduction(graph.consumers(stages[-1].result))
        if cut is not None and cut.region == op.region:
            cuts.append(Cut(name, cut.name, cut.kind))
        if len(stages) > 1 and any(stage.dense or stage.spatial for stage in stages):
            chains.append(Chain(name, tuple(stages)))
    return _named(chains), cuts


def _reduction(consumers: tuple[Operator, ...]) -> Operator | None:
    """The consumer that needs the whole map before others can go on with it; the pool before a classifier is none."""
    if len(consumers) > 1:
        return next((op for op in consumers if isinstance(op, GlobalPool | Reduction | ResponseNorm)), None)
    return next((op for op in consumers if isinstance(op, ResponseNorm)), None)


def _named(chains: list[Chain]) -> list[Chain]:
    """Chains with different names: a region that is cut holds several."""
    names = [chain.name for chain in chains]
    return [c if names.count(c.name) == 1 else Chain(c.operators[0], c.stages) for c in chains]


def _extended(stages: list[Stage], graph: OperatorGraph, taken: set[str]) -> list[Stage]:
    while True:
        tip = stages[-1].result
        consumers = graph.consumers(tip)
        if len(consumers) != 1 or consumers[0].name in taken or consumers[0].region != stages[0].operator.region:
            return stages
        following = _stage(consumers[0], graph, tip)
        if following is None or _closed(stages, following, graph):
            return stages
        stages.append(following)


def _closed(stages: list[Stage], following: Stage, graph: OperatorGraph) -> bool:
    """Whether the block is complete before ``following``."""
    light = not (following.dense or following.spatial or following.whole)
    if any(stage.sides and stage.operator.fusion_kind == "add" for stage in stages):
        return not (light and not following.sides)
    windows = [index for index, stage in enumerate(stages) if stage.spatial]
    projected = windows and any(stage.pointwise for stage in stages[windows[-1] + 1 :])
    if not projected or light:
        return False
    channels = graph.tensors[following.source].shape[1], graph.tensors[following.result].shape[1]
    return not (following.pointwise and not following.spatial and bool(channels[1] < channels[0]))


def _stage(op: Operator, graph: OperatorGraph, tip: str) -> Stage | None:
    """``op`` as a stage that reads ``tip`` (its first input if empty); None if it cannot be one."""
    tensors = graph.tensors
    if len(op.outputs) != 1 or len(tensors[op.outputs[0]].shape) != 4 or len(tensors[op.inputs[0]].shape) != 4:
        return None
    source = tip or op.inputs[0]
    stored = tuple(n for n in op.inputs if tensors[n].role in (Role.WEIGHT, Role.STATE))
    others = tuple(n for n in op.inputs if n != source and n not in stored)
    first = source == op.inputs[0]
    if isinstance(op, Conv) and not isinstance(op, TransposedConv) and first:
        groups, _, inputs, *kernel = (int(n) for n in tensors[op.inputs[1]].shape)
        return Stage(
            op, source, op.outputs[0], tuple(kernel), op.stride, op.padding, op.dilation, groups == 1, False,
            1 if groups == 1 else inputs, (), op.inputs[1:],
        )  # fmt: skip
    if isinstance(op, BatchNorm | Norm) and first:
        return Stage(op, source, op.outputs[0], whole=isinstance(op, Norm), weights=op.inputs[1:])
    if isinstance(op, Elementwise | Pointwise) and tensors[op.outputs[0]].shape == tensors[source].shape:
        return Stage(op, source, op.outputs[0], sides=others, weights=stored)
    return None


def joined(chains: tuple[Chain, ...], graph: OperatorGraph) -> Chain | None:
    """One chain of several that follow each other; None if something else needs a map between them."""
    stages = tuple(stage for chain in chains for stage in chain.stages)
    inside = {stage.operator.name for stage in stages}
    for before, after in pairwise(chains):
        needed = graph.consumers(before.result)
        if before.result != after.source or any(op.name not in inside for op in needed):
            return None
    counts = {float(graph.count(stage.operator)) for stage in stages}
    if len(counts) > 1 or (len({s.operator.region for s in stages}) > 1 and counts != {1.0}):
        return None
    return Chain(f"{chains[0].name}…{chains[-1].name}", stages, sum(chain.blocks for chain in chains))
