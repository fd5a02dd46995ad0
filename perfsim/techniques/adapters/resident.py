"""Adapters of several tasks in one memory: which are read, and how they hang on a product."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.edit import exchanged, reshaped
from perfsim.ops import Linear
from perfsim.ops.adapters import AdapterProduct
from perfsim.ops.experts import distinct_experts
from perfsim.quantities.numbers import Number
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.workloads import Phase, Plan

__all__ = ["Adapter", "ResidentAdapters", "in_layers", "used_adapters"]


def used_adapters(*, adapters: int, sequences: Number) -> Number:
    """Expected number of different adapters in a batch [1].

    Each sequence needs one of ``adapters`` with equal probability: N·(1 − (1 − 1/N)^sequences), at most N; more equal
    requests than that use fewer.
    """
    return 1 if adapters == 1 else distinct_experts(experts=adapters, top_k=1, tokens=sequences)


@dataclass
class Adapter:
    """The operators of one adapter while they are made; ``tensors`` of the graph grow with them.

    name: what its operators start with; op: the product that it hangs on; count: adapters in memory; used: those that
    a pass reads.
    """

    name: str
    op: Linear
    tensors: dict[str, Tensor]
    count: int
    used: Number
    made: list[Operator] = field(default_factory=list)

    def weight(self, part: str, shape: tuple[Number, ...]) -> str:
        """Weights (count, *shape) in the format of the features, which is not quantised with the base."""
        features = self.tensors[self.op.inputs[0]].dtype
        name = f"{self.name}.{part}.weight"
        self.tensors[name] = Tensor(name, (self.count, *shape), features, Role.WEIGHT, self.op.region)
        return name

    def add(self, kind: type[Operator], part: str, inputs: tuple[str, ...], output: str = "", **more: Any) -> str:
        """One operator with one output, which may be a tensor that is there already."""
        output = output or f"{self.name}.{part}.out"
        made = kind(f"{self.name}.{part}", inputs, (output,), self.op.region, **more)
        like = self.tensors[self.op.outputs[0]]
        self.tensors.setdefault(output, like.replace(name=output, shape=made.output_shapes(self.tensors)[0]))
        self.made.append(made)
        return output

    def product(self, part: str, source: str, shape: tuple[Number, ...], contracted: int = 1) -> str:
        """A product with weights (*contracted, *out) of the adapter of each sequence."""
        inputs = (source, self.weight(part, shape))
        return self.add(AdapterProduct, part, inputs, contracted=contracted, used=self.used)


@dataclass(frozen=True, kw_only=True)
class ResidentAdapters(PlanRewrite):
    """Base of the techniques that hang something trained on the products of the layers; the base stays as it is."""

    adapters: int = parameter(1, "adapters in memory; each sequence uses one of them", least=1, most=10**6)

    def requires(self, plan: Plan, context: Context) -> str | None:
        if context.system.count > 1:
            return "the adapters are not spread over devices; use count=1"
        there = any(self.sites(phase.graph) for phase in plan.phases)
        return None if there else "its layers have no matrix products that could be adapted"

    def apply(self, plan: Plan, context: Context) -> Plan:
        return plan if self.absent else plan.replace(phases=tuple(self._adapted(phase) for phase in plan.phases))

    @property
    @abstractmethod
    def absent(self) -> bool:
        """Whether the adapter has no weights."""

    @abstractmethod
    def sites(self, graph: OperatorGraph) -> list[Linear]:
        """The products that it hangs on."""

    @abstractmethod
    def attach(self, weight: str, base: str, output: str, adapter: Adapter) -> None:
        """Make ``output`` of ``base``, the product with ``weight``, by operators of ``adapter``."""

    def _adapted(self, phase: Phase) -> Phase:
        if phase.network:
            return phase
        used = used_adapters(adapters=self.adapters, sequences=phase.sequences)
        hung = exchanged(phase.graph, self.sites(phase.graph), lambda op, tensors: self._hung(op, tensors, used))
        return replace(phase, graph=reshaped(hung))

    def _hung(self, op: Linear, tensors: dict[str, Tensor], used: Number) -> list[Operator]:
        raw = tuple(f"{name}.base" for name in op.outputs)
        tensors |= {new: tensors[old].replace(name=new) for new, old in zip(raw, op.outputs, strict=True)}
        base = replace(op, outputs=raw)
        made: list[Operator] = [base]
        for weight, product, output in zip(op.inputs[1:], raw, op.outputs, strict=True):
            adapter = Adapter(f"{product}.{self.name}", base, tensors, self.adapters, used)
            self.attach(weight, product, output, adapter)
            made += adapter.made
        return made


def in_layers(graph: OperatorGraph, chosen: Callable[[Linear], bool]) -> list[Linear]:
    """Products with weights, packed ones among them, inside the layers."""
    products = (op for op in graph.operators if isinstance(op, Linear) and (op.region or not graph.regions))
    return [op for op in products if chosen(op)]
