"""The work and traffic of every kernel of a prediction as formulas in batch, tokens and context.

The same job is planned once more with symbols in place of its numbers: the operators' own formulas answer with
expressions. Only :mod:`perfsim.prediction.explain` imports this, because sympy takes long to load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import sympy

from perfsim.catalog import model as find_model
from perfsim.costs.lowering import Kernel, kernels_of, place_on_chip
from perfsim.graph import OperatorGraph, Placement
from perfsim.prediction.predict import planned
from perfsim.quantities.numbers import Number, is_array
from perfsim.techniques.base import Context
from perfsim.workloads import Job, Plan

if TYPE_CHECKING:
    from perfsim.prediction.prediction import Prediction

__all__ = ["MEANING", "Formula", "PhaseFormulas", "formula_text", "middle", "of_step", "phase_formulas"]

_SYMBOLS: Mapping[str, str] = MappingProxyType(
    {"batch": "B", "prompt_tokens": "P", "output_tokens": "O", "context_length": "C"}
)
MEANING: Mapping[str, str] = MappingProxyType(
    {"B": "sequences per replica", "P": "prompt tokens", "O": "output tokens", "C": "positions that a decode step sees"}
)
"""Symbol → what it stands for."""


@dataclass(frozen=True, eq=False)
class Formula:
    """Work and traffic of one execution of a kernel on one device.

    flops [FLOP] and traffic [byte]: expressions in the symbols of :data:`MEANING`.
    """

    kernel: Kernel
    graph: OperatorGraph
    flops: sympy.Expr
    traffic: sympy.Expr


@dataclass(frozen=True, eq=False)
class PhaseFormulas:
    """Formulas of the kernels of a phase, in the order of the prediction's kernels.

    values: symbol → value of the prediction, an array over the steps for the context of a decode.
    """

    name: str
    formulas: tuple[Formula, ...]
    values: Mapping[str, Number]

    def at(self, step: int) -> dict[sympy.Symbol, Number]:
        """Values of the symbols in one step."""
        return {_symbol(name): of_step(value, step) for name, value in self.values.items()}

    def value(self, expression: sympy.Expr, step: int) -> float:
        """An expression as a number in one step."""
        return float(expression.subs(self.at(step)))


def _symbol(name: str) -> sympy.Symbol:
    return sympy.Symbol(name, positive=True, integer=True)


def middle(steps: Number) -> int:
    """The step whose numbers are shown."""
    return int(steps) // 2


def of_step(value: Number, step: int) -> Number:
    """The entry of a step; whole numbers stay exact."""
    if not is_array(value):
        return value
    entry = float(value[..., step if value.shape[-1] > 1 else 0].item())
    return int(entry) if entry.is_integer() else entry


@lru_cache(maxsize=4)
def phase_formulas(p: Prediction) -> tuple[PhaseFormulas, ...]:
    """Formulas of every phase of ``p``; those of the last few predictions are kept.

    What a technique can only do with numbers stays a number.
    """
    job = _planned_job(p)
    stated = [name for name in _SYMBOLS if name in job.describe()]
    for names in (stated, stated[:1]):
        plan = _plan(p, job, names)
        if plan is not None:
            return tuple(_phase(p, job, plan, index, names) for index in range(len(p.costs)))
    return tuple(_numbers(p, index) for index in range(len(p.costs)))


def _planned_job(p: Prediction) -> Job:
    """The job as the techniques hand it to the plan, e.g. one replica's share of the batch."""
    context, job = Context(p.model, p.system, p.stack, find_model), p.job
    for technique in p.using:
        job = technique.prepare(job, context)
    return job


def _plan(p: Prediction, job: Job, names: list[str]) -> Plan | None:
    """The plan with symbols for the named fields; None where it needs numbers, or becomes another one."""
    symbolic = job.replace(**{name: _symbol(_SYMBOLS[name]) for name in names})
    try:
        plan = planned(p.model, symbolic, p.system, p.stack, p.using)
        kernels = [[_parts(k) for k in kernels_of(phase.graph, p.stack)] for phase in plan.phases]
    except TypeError:  # sympy: "cannot determine truth value of Relational"
        return None
    return plan if kernels[: len(p.costs)] == [[_parts(k) for k in cost.lowered] for cost in p.costs] else None


def _parts(kernel: Kernel) -> tuple[str, ...]:
    return tuple(op.name for op in kernel.operators)


def _phase(p: Prediction, job: Job, plan: Plan, index: int, names: list[str]) -> PhaseFormulas:
    phase, cost = plan.phases[index], p.costs[index]
    graph = place_on_chip(phase.graph) if p.stack.on_chip else phase.graph
    values = {_SYMBOLS[name]: getattr(job, name) for name in names}
    if any(is_array(getattr(op, "context", None)) for op in graph.operators):
        return _numbers(p, index)  # a decode whose length a technique states
    for op, known in zip(graph.operators, cost.graph.operators, strict=True):
        if getattr(op, "context", None) == _symbol("C"):
            values["C"] = known.context  # type: ignore[attr-defined]
    formulas = tuple(_formulas(graph, kernels_of(graph, p.stack), sympy.sympify))
    used = {symbol.name for formula in formulas for symbol in formula.flops.free_symbols | formula.traffic.free_symbols}
    return PhaseFormulas(phase.name, formulas, {name: value for name, value in values.items() if name in used})


def _numbers(p: Prediction, index: int) -> PhaseFormulas:
    """Formulas without symbols: the numbers of the middle step."""
    cost = p.costs[index]
    step = middle(cost.steps)
    return PhaseFormulas(
        cost.name, tuple(_formulas(cost.graph, cost.lowered, lambda value: sympy.sympify(of_step(value, step)))), {}
    )


def _formulas(
    graph: OperatorGraph, kernels: tuple[Kernel, ...], expression: Callable[[Number], sympy.Expr]
) -> Iterator[Formula]:
    tensors, zero = graph.tensors, sympy.Integer(0)
    for kernel in kernels:
        flops = sum((expression(op.work(tensors).flops) for op in kernel.operators), zero)
        crossing = [
            (op, name) for op, name in (*kernel.reads, *kernel.writes) if tensors[name].placement is Placement.MAIN
        ]
        traffic = sum((expression(kernel.accessed(op, name, tensors)) for op, name in crossing), zero)
        yield Formula(kernel, graph, flops, traffic)


def formula_text(expression: sympy.Expr) -> str:
    """An expression in one line, with · for products and ^ for powers."""
    text = sympy.sstr(sympy.factor_terms(expression), full_prec=False)
    return str(text).replace("**", "^").replace("*", "·")
