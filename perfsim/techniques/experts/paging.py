"""Experts that are paged in from host memory or storage."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from perfsim.costs import phase_cost
from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.ops import Dequantize, ExpertLinear
from perfsim.ops.paged_experts import PagedExpertLinear
from perfsim.quantities.numbers import Number, maximum
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.workloads import Plan
from perfsim.workloads.plan import Phase

__all__ = ["ExpertPaging", "exposed_loading"]


def exposed_loading(*, loading: Number, predicted: Number, compute: Number) -> Number:
    """Time of loading that a pass waits for [s].

    loading: time of loading all experts that miss [s]; predicted: share of it that is known early enough to run behind
    the work of the pass [1]; compute: time of that work [s]. Exposed: (1 − predicted)·loading, plus what of the
    predicted part is longer than the work.

    References
    ----------
    .. [1] R. Yi et al., "EdgeMoE", arXiv 2308.14352, section 3.3.
    """
    return (1 - predicted) * loading + maximum(predicted * loading - compute, 0.0)


@dataclass(frozen=True, kw_only=True)
class ExpertPaging(PlanRewrite):
    """A share ``resident`` of the experts of every layer lies in memory; others are loaded when tokens choose them.

    A pass loads touched·(1 − hit) experts per layer over the link to host memory or at ``bandwidth`` from storage,
    with ``latency`` per expert. ``hit`` is declared; 0 takes ``resident``, as for uniform routing and any replacement.
    ``prediction`` of the misses are known early and load behind the work of the pass; the rest is waited for. Loaded
    experts are written to memory without extra time. It comes behind all techniques that pack or shrink experts, so
    that the packed bytes are loaded.

    References
    ----------
    .. [1] R. Yi et al., "EdgeMoE", arXiv 2308.14352. [2] A. Eliseev, D. Mazur, arXiv 2312.17238: caches of experts.
    """

    resident: float = parameter(0.25, "experts of a layer that lie in memory, over all", least=0.001, most=1.0)
    hit: float = parameter(0.0, "needed experts that are found in memory; 0 is `resident`", least=0.0, most=1.0)
    prediction: float = parameter(0.0, "misses that are known early enough to load behind work", least=0.0, most=1.0)
    bandwidth: float = parameter(
        0.0, "rate of loading; 0 is the device's link to its host", unit="byte/s", least=0.0, most=1e15
    )
    latency: float = parameter(0.0, "fixed time per loaded expert", unit="s", least=0.0, most=10.0)

    name = "expert-paging"
    reference = "arXiv 2308.14352"
    idempotent = False
    neutral = {"resident": 1.0}
    turn = 3

    def requires(self, plan: Plan, context: Context) -> str | None:
        if not any(t.expert for p in plan.phases for t in p.graph.of_role(Role.WEIGHT)):
            return "it has no experts"
        if any(isinstance(op, PagedExpertLinear) for p in plan.phases for op in p.graph.operators):
            return "its experts are paged already"
        if context.system.count > 1:
            return "paged experts are not spread over devices; use count=1"
        if not self.bandwidth and context.system.device.get("link.pcie.bandwidth") is None:
            return f"{context.system.device.key} states no link to its host; state bandwidth=... in byte/s"
        return None

    def apply(self, plan: Plan, context: Context) -> Plan:
        if self.resident == 1:
            return plan
        return plan.replace(phases=tuple(self._paged(phase, context) for phase in plan.phases))

    def _paged(self, phase: Phase, context: Context) -> Phase:
        bandwidth = self.bandwidth or context.system.device.get("link.pcie.bandwidth")
        routed = (op for op in phase.graph.operators if isinstance(op, ExpertLinear))
        touched = {op.region: op.touched(phase.graph.tensors) for op in routed}
        missing = 1 - (self.hit or self.resident)
        loading: Number = 0.0
        for region, experts in touched.items():
            stored = [t for t in phase.graph.of_role(Role.WEIGHT) if t.expert and t.region == region]
            each = sum(t.nbytes / t.shape[0] for t in stored)
            loading = loading + phase.graph.regions[region] * missing * experts * (each / bandwidth + self.latency)
        compute = phase_cost(phase, context.system, context.stack).step_runtimes
        delay = exposed_loading(loading=loading, predicted=self.prediction, compute=compute)
        return replace(phase, graph=self._with_slots(phase.graph), delay=phase.delay + delay)

    def _with_slots(self, graph: OperatorGraph) -> OperatorGraph:
        paged = {op.name: _paged_product(op) for op in graph.operators if isinstance(op, ExpertLinear)}
        operators = [_with_paged(op, paged) for op in graph.operators]
        inputs = {name for op in paged.values() for name in op.inputs[1:]}
        tensors = {
            name: self._slots(tensor) if tensor.expert and (tensor.role is Role.WEIGHT or name in inputs) else tensor
            for name, tensor in graph.tensors.items()
        }
        return replace(graph, operators=tuple(operators), tensors=tensors)

    def _slots(self, tensor: Tensor) -> Tensor:
        """The experts that lie in memory: at least one."""
        experts, *shape = tensor.shape
        return tensor.replace(shape=(max(1, round(experts * self.resident)), *shape))


def _with_paged(op: Operator, paged: dict[str, PagedExpertLinear]) -> Operator:
    """The paged form of a projection of experts, or a dequantisation that follows it; others stay."""
    if isinstance(op, Dequantize) and op.experts is not None and op.experts.name in paged:
        return replace(op, experts=paged[op.experts.name])
    return paged.get(op.name, op)


def _paged_product(op: Operator) -> PagedExpertLinear:
    return PagedExpertLinear(**{f.name: getattr(op, f.name) for f in fields(op)})
