"""The backward pass of a graph, as a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace

from perfsim.errors import GraphError, InputError
from perfsim.graph import Gradient, Operator, OperatorGraph, Role, Tensor
from perfsim.graph.regions import carried
from perfsim.ops.backward import Backward
from perfsim.ops.collective import Collective
from perfsim.ops.elementwise import Elementwise
from perfsim.quantities.dtypes import DType
from perfsim.quantities.numbers import Number

__all__ = ["Passes", "differentiate", "nothing"]

Chooser = Callable[[Operator], bool]


@dataclass(frozen=True, eq=False)
class Passes:
    """A training pass: forward (with what it saves marked), what is computed once more, and backward."""

    forward: OperatorGraph
    recompute: OperatorGraph
    backward: OperatorGraph


def nothing(_: Operator) -> bool:
    """Every output that is needed is saved."""
    return False


def differentiate(
    graph: OperatorGraph, *, gradient_dtype: DType | None = None, accumulations: Number = 1,
    recomputed: Chooser = nothing,
) -> Passes:  # fmt: skip
    """Forward, recomputation and backward pass of a graph that ends with a loss.

    gradient_dtype: format of the gradients of weights, their own if None; accumulations: how often they cross the
    memory in a pass (:class:`Backward`); recomputed: operators whose outputs are not saved but computed again before
    the backward pass needs them, from what is saved before them.

    Operators run backwards in reverse order. A tensor with several readers gets the sum of their gradients. What a
    backward kernel reads of the forward pass is saved, in every repetition of its region. Gradients of weights are
    tensors of the role GRADIENT and live as long as the weights.

    Raises
    ------
    InputError
        if the graph keeps a cache or a state between passes, which training has not, or has nothing to train.
    """
    stateful = next((t for t in graph.tensors.values() if t.role in (Role.KV_CACHE, Role.STATE)), None)
    if stateful is not None:
        layer = stateful.region or "the network"
        raise InputError(
            f"{layer} keeps {stateful.name.rpartition('.')[2]} between passes: no backward pass is known for such "
            f"layers; train a network with plain attention or convolutions"
        )
    wanted = _trained(graph)
    if not any(graph.tensors[name].role is Role.WEIGHT for name in wanted):
        raise InputError("nothing to train: no weight of the network takes gradients")
    walk = _Walk(graph, wanted, gradient_dtype, accumulations)
    for op in reversed(graph.operators):
        walk.visit(op)
    again, saved = _recomputed(graph, walk.reads, recomputed)
    forward = _saving(graph, saved | _carried_along(graph, saved))
    redone = {name for op in again for name in op.outputs}
    kept = _marked(graph, saved | (redone & walk.reads))
    return Passes(forward, _part(graph, again, kept), _part(graph, walk.operators, {**kept, **walk.tensors}))


def _trained(graph: OperatorGraph) -> frozenset[str]:
    """Tensors that have a gradient: weights, and all that depends on one."""
    wanted = {t.name for t in graph.of_role(Role.WEIGHT)} | {
        t.name for t in graph.tensors.values() if t.role is Role.WEIGHT and t.view_of
    }
    carry = dict(_carry(graph))
    while True:
        before = len(wanted)
        for op in graph.operators:
            if any(name in wanted for name in op.inputs):
                wanted.update(op.outputs)
        wanted.update(entering for entering, leaving in carry.items() if leaving in wanted and _made(graph, entering))
        if len(wanted) == before:
            return frozenset(wanted)


def _made(graph: OperatorGraph, name: str) -> bool:
    return graph.producer(name) is not None


def _carry(graph: OperatorGraph) -> Iterable[tuple[str, str]]:
    """What enters a repeated region, and what leaves it for the next repetition."""
    for region, count in graph.regions.items():
        if isinstance(count, int) and count == 1:
            continue
        try:
            yield carried(graph, region)
        except GraphError:
            continue


def _carried_along(graph: OperatorGraph, saved: frozenset[str]) -> frozenset[str]:
    """What leaves a repeated region, where its readers save what enters: each repetition saves its own."""
    return frozenset(leaving for entering, leaving in _carry(graph) if entering in saved)


def _recomputed(
    graph: OperatorGraph, reads: frozenset[str], recomputed: Chooser
) -> tuple[tuple[Operator, ...], frozenset[str]]:
    """Operators to run once more, in order, and the activations that have to be saved."""
    needed, saved, again = set(reads), set[str](), list[Operator]()
    for op in reversed(graph.operators):
        if op.region and recomputed(op):
            again.append(op)
            needed |= {name for name in op.inputs if _made(graph, name)}
        else:
            saved |= needed & set(op.outputs)
    return tuple(reversed(again)), frozenset(saved)


def _saving(graph: OperatorGraph, saved: frozenset[str]) -> OperatorGraph:
    return replace(graph, tensors={**graph.tensors, **_marked(graph, saved)})


def _marked(graph: OperatorGraph, names: Iterable[str]) -> dict[str, Tensor]:
    return {name: graph.tensors[name].replace(role=Role.SAVED) for name in names}


def _part(graph: OperatorGraph, operators: Iterable[Operator], changed: dict[str, Tensor]) -> OperatorGraph:
    """A graph of some operators, with the tensors that they touch."""
    chosen = tuple(operators)
    touched = dict.fromkeys(name for op in chosen for name in (*op.inputs, *op.outputs))
    tensors = {name: changed[name] if name in changed else graph.tensors[name] for name in touched}
    stored = {t.view_of for t in tensors.values() if t.view_of} - tensors.keys()
    tensors |= {name: changed[name] if name in changed else graph.tensors[name] for name in stored}
    used = {op.region for op in chosen}
    return OperatorGraph(chosen, tensors, {name: n for name, n in graph.regions.items() if name in used})


class _Walk:
    """Operators and tensors of the backward pass, as they come up from the loss to the inputs."""

    def __init__(
        self, graph: OperatorGraph, wanted: frozenset[str], dtype: DType | None, accumulations: Number
    ) -> None:
        self._graph, self._wanted, self._dtype, self._accumulations = graph, wanted, dtype, accumulations
        self._gradient_of: dict[str, str] = {}
        self._carry = {leaving: entering for entering, leaving in _carry(graph)}
        self._reads: set[str] = set()
        self.operators: list[Operator] = []
        self.tensors: dict[str, Tensor] = {}

    @property
    def reads(self) -> frozenset[str]:
        """Activations of the forward pass that backward kernels read."""
        return frozenset(name for name in self._reads if _made(self._graph, name))

    def visit(self, op: Operator) -> None:
        """Add the backward kernels of one operator, if its outputs reach the loss."""
        graph = self._graph
        arriving = tuple(self._gradient_of[name] for name in op.outputs if name in self._gradient_of)
        last = not any(graph.consumers(name) for name in op.outputs)
        wanted = tuple(dict.fromkeys(name for name in op.inputs if name in self._wanted))
        if not wanted or not (arriving or last):
            return
        if isinstance(op, Collective):
            self._collective(op, arriving)
            return
        for index, rule in enumerate(op.gradients(wanted, graph.tensors)):
            if rule.work is None:
                self._pass(op, rule, arriving)
            elif rule.of:
                self._kernel(op, rule, arriving, index)

    def _pass(self, op: Operator, rule: Gradient, arriving: tuple[str, ...]) -> None:
        """The gradient of the output is that of the input: of the one at the same place, where there are several."""
        for name in rule.of:
            place = op.inputs.index(name)
            self._arrive(name, arriving[place if len(arriving) > 1 and place < len(arriving) else 0], op)

    def _kernel(self, op: Operator, rule: Gradient, arriving: tuple[str, ...], index: int) -> None:
        graph = self._graph
        outputs = tuple(self._new(name, op, index) for name in rule.of)
        shapes = tuple(graph.tensors[name].shape for name in rule.of)
        partial = any(op.partial_gradient(name, graph.tensors) for name in rule.of)
        weights = all(graph.tensors[name].role is Role.WEIGHT for name in rule.of)
        name = f"{op.name}.weight_gradient" if weights else f"{op.name}.backward" + (f".{index}" if index else "")
        kernel = Backward(
            name, (*arriving, *rule.reads), outputs, op.region, forward=op, gradient=rule, shapes=shapes,
            accumulations=self._accumulations, partial=partial,
        )  # fmt: skip
        self.operators.append(kernel)
        self._reads |= set(rule.reads)
        for source, made in zip(rule.of, outputs, strict=True):
            self._arrive(source, made, op)

    def _new(self, name: str, op: Operator, index: int) -> str:
        """A tensor for one gradient of ``name``, made by a kernel of ``op``."""
        source = self._graph.tensors[name]
        if source.role is Role.WEIGHT:
            gradient = f"{name}.gradient"
            stored = f"{source.view_of}.gradient" if source.view_of else ""
            if gradient not in self.tensors:
                self._keep(source, stored)
                if stored and stored not in self.tensors:
                    self._keep(self._graph.tensors[source.view_of], "")
            return gradient
        gradient = f"{op.name}.gradient.{index}.{name}"
        self.tensors[gradient] = Tensor(gradient, source.shape, source.dtype, Role.ACTIVATION, op.region)
        return gradient

    def _keep(self, weight: Tensor, view_of: str) -> None:
        """The tensor for the gradient of a weight."""
        name, dtype = f"{weight.name}.gradient", self._dtype or weight.dtype
        self.tensors[name] = weight.replace(name=name, role=Role.GRADIENT, dtype=dtype, view_of=view_of)

    def _arrive(self, name: str, gradient: str, op: Operator) -> None:
        """Note a gradient of ``name``; a second one is added to the first."""
        if self._graph.tensors[name].role is Role.WEIGHT:
            return
        earlier = self._gradient_of.get(name)
        if earlier is None:
            self._gradient_of[name] = gradient
            return
        total = f"{op.name}.gradient.sum.{name}"
        self.tensors[total] = self.tensors[gradient].replace(name=total, region=op.region)
        self.operators.append(
            Elementwise(f"{op.name}.gradient_sum.{name}", (gradient, earlier), (total,), op.region, function="add")
        )
        self._gradient_of[name] = total

    def _collective(self, op: Collective, arriving: tuple[str, ...]) -> None:
        kind, (source,) = op.adjoint(), op.inputs
        if kind is None:
            self._arrive(source, arriving[0], op)
            return
        made = self._new(source, op, 0)
        shared = {f.name: getattr(op, f.name) for f in fields(op)}
        shared |= {"name": f"{op.name}.backward", "inputs": arriving[:1], "outputs": (made,)}
        self.operators.append(kind(**shared))
        self._arrive(source, made, op)
