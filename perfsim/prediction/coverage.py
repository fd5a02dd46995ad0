"""What share of a model is really modelled; nothing is silently zero."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from perfsim.architectures import Model
from perfsim.costs import PhaseCost
from perfsim.devices import PARAMETERS, Stack
from perfsim.ops.general import General, Unmodelled
from perfsim.quantities.numbers import Number
from perfsim.workloads import Job

__all__ = ["Coverage", "algorithm_conventions", "conventions_of", "coverage_of"]

_OUTSIDE = ("network time between client and server",)


def conventions_of(job: Job, model: Model) -> tuple[str, ...]:
    """How things are counted; printed with every result."""
    return (
        "1 multiply-accumulate = 2 FLOP; element-wise work is counted too, with one FLOP per transcendental function",
        *job.conventions(model),
        "flops and traffic are totals over all steps and devices; memory is per device",
    )


def algorithm_conventions(stack: Stack) -> tuple[str, ...]:
    """How work is counted where kernels run another algorithm than the direct product; empty where none does."""
    if all(datum.value == PARAMETERS[path.rpartition(".")[2]][1] for path, datum in stack.algorithms.items()):
        return ()
    return (
        f"{stack.key} may compute 3×3 convolutions by Winograd's algorithm, and so does its ideal bound; work is "
        "counted as direct products, so utilisations and efficiencies may exceed what the units do, even 100 %",
    )


@dataclass(frozen=True)
class Coverage:
    """Shares of operators, FLOP and bytes that a cost rule models [1], and what is missing, by name.

    without_rule: operators of an imported graph that have no cost rule, with how many there are.
    """

    operators: float
    flops: float
    traffic: float
    missing: tuple[str, ...]
    without_rule: tuple[str, ...] = ()


def coverage_of(model: Model, phases: tuple[PhaseCost, ...]) -> Coverage:
    """Coverage of a prediction.

    Every operator that a family builds has a cost rule, so the shares are 1 for catalogue families; what a
    configuration states and the family does not run is named in ``missing``. Operators of an imported graph that have
    no rule are costed by their traffic; their work is not known, so their share of the bytes stands for it, too.
    """
    general = [op for phase in phases for op in phase.graph.operators if isinstance(op, General)]
    unknown = Counter(op.label for op in general if isinstance(op, Unmodelled))
    notes = tuple(dict.fromkeys(op.note for op in general if op.note))
    priced = sum(len(cost.parts) for phase in phases for cost, _ in phase.kernels)
    operators = sum(len(phase.graph.operators) for phase in phases)
    known = (*notes, *model.remarks, *model.outside, *_OUTSIDE)
    if not unknown:
        return Coverage(priced / operators, 1.0, 1.0, known)
    without = tuple(f"{name} × {count}" for name, count in sorted(unknown.items()))
    share = 1.0 - _unmodelled_traffic(phases)
    text = f"no cost rule for {', '.join(without)}: costed by traffic"
    return Coverage(1 - unknown.total() / operators, share, share, (text, *known), without)


def _unmodelled_traffic(phases: tuple[PhaseCost, ...]) -> float:
    """Share of the bytes over the borders of kernels that belongs to operators without a rule [1]."""
    total: Number = 0
    unknown: Number = 0
    for phase in phases:
        for (cost, count), kernel in zip(phase.kernels, phase.lowered, strict=True):
            moved = phase.over_job(cost.moved * count)
            total = total + moved
            if any(isinstance(op, Unmodelled) for op in kernel.operators):
                unknown = unknown + moved
    return float(unknown / total) if total else 1.0
