"""Cascades: a small network answers, a large one where that is needed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.errors import InputError
from perfsim.graph import Role
from perfsim.quantities.numbers import largest
from perfsim.techniques.base import Context, OptionalRewrite, parameter
from perfsim.workloads import Phase, Plan

__all__ = ["ModelCascade", "expected_cascade", "switch_rate", "trace_share"]


def expected_cascade(*, small: float, big: float, share: float, auxiliary: float, escalate: bool) -> float:
    """Expected cost of one input, in the unit of ``small`` and ``big`` (time, energy, operations).

    share: inputs that the big network sees [1]; auxiliary: cost of the decision. Escalation runs the small network on
    every input: small + auxiliary + share·big; selection runs one of the two: auxiliary + (1 − share)·small +
    share·big.
    """
    return auxiliary + (small if escalate else (1 - share) * small) + share * big


def trace_share(decisions: str) -> float:
    """Share of the letter ``b`` (big) in a trace of ``s`` and ``b`` [1].

    Raises
    ------
    InputError
        if the trace is empty or holds other letters.
    """
    if not decisions or set(decisions) - {"s", "b"}:
        raise InputError(f'a trace is "{decisions}", expected letters s (small) and b (big), one per input')
    return decisions.count("b") / len(decisions)


def switch_rate(*, share: float, run: float) -> float:
    """Changes from the small to the big network per input [1]: share / mean run length of the big one."""
    return share / run


@dataclass(frozen=True, kw_only=True)
class ModelCascade(OptionalRewrite):
    """The model asked for runs on ``share`` of the inputs only; the network ``small`` does the rest.

    ``mode=escalate``: the small network sees every input and the big one those it is not sure about (cascades, windows
    of uncertainty, ensembles whose further members run on demand). ``mode=select``: one of the two per input, by a
    rule that looks at the last outputs or at an auxiliary head. The three policies for drones are: output-based
    partitioning, ``select`` with ``auxiliary=0``; score margin and head localisation of an auxiliary task, ``select``
    with the cost of that head. Expected cost, see :func:`expected_cascade`; the decision costs ``auxiliary`` times a
    pass of the small network, or ``decision`` seconds. Both networks lie in memory (``memory=both``), or one at a
    time: then each change loads the other one at ``load`` byte per second, once per ``run`` inputs in a row. A batch
    is split perfectly: a big pass holds only escalated inputs, and counts as many passes as its share.

    References
    ----------
    .. [1] B. A. Motetti et al., "Adaptive Deep Learning for Efficient Visual Pose Estimation aboard Ultra-low-power
       Nano-drones", arXiv 2401.15236. [2] E. Park et al., "Big/little deep neural network for ultra low power
       inference", CODES+ISSS 2015. [3] G. Xia and C.-S. Bouganis, "Window-Based Early-Exit Cascades", arXiv 2303.08010.
    """

    small: str = parameter("", "catalogue name of the small network; empty for no cascade", unit="name")
    share: float = parameter(0.5, "inputs that the big network sees, over all", least=0.0, most=1.0)
    trace: str = parameter("", "decisions, s or b for each input, instead of a share")
    mode: str = parameter("escalate", "whether the small network sees every input", choices=("escalate", "select"))
    auxiliary: float = parameter(
        0.0, "work of the decision's auxiliary head, over that of the small network", least=0.0, most=10.0
    )
    decision: float = parameter(0.0, "declared time of a decision", unit="s", least=0.0, most=3600.0)
    memory: str = parameter("both", "whether both networks are in memory at once", choices=("both", "swapped"))
    load: float = parameter(1e9, "rate at which a swapped network is loaded", unit="byte/s", least=1.0, most=1e15)
    run: float = parameter(1.0, "inputs in a row that the big network sees, on average", least=1.0, most=1e9)

    name = "model-cascade"
    reference = "arXiv 2401.15236"
    idempotent = False
    neutral = {"small": ""}
    turn = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trace:
            trace_share(self.trace)

    @property
    def escalated(self) -> float:
        """Share of the inputs that the big network sees [1]."""
        return trace_share(self.trace) if self.trace else self.share

    def requires(self, plan: Plan, context: Context) -> str | None:
        """The small network must do the same job."""
        small = context.find_model(self.small)
        if small.usual_task != context.model.usual_task:
            return f"{small.name} is a {small.family} with another job"
        if any(phase.network for phase in plan.phases):
            return "the plan has a second network already; state one technique that brings one"
        return None

    def apply(self, plan: Plan, context: Context) -> Plan:
        small = self._small_phases(plan, context)
        share, swaps = self.escalated, self.memory == "swapped"
        big = [replace(p, share=p.share * share) for p in plan.phases]
        if swaps:
            rate = switch_rate(share=share, run=self.run)
            small = self._loaded(small, rate / max(small[0].share, 1e-12))
            big = self._loaded(big, rate / share if share else 0.0)
        return plan.replace(phases=(*small, *big))

    def _small_phases(self, plan: Plan, context: Context) -> list[Phase]:
        small, job = context.find_model(self.small), plan.job
        size = getattr(job, "image_size", None)
        if size is not None and size == getattr(context.model, "image_size", None):
            job = job.replace(image_size=None)  # not stated: each network sees images of its own size
        job = job.resolved(small, context.system.device)
        network = "" if self.memory == "swapped" else "small"
        share = 1.0 if self.mode == "escalate" else 1 - self.escalated
        own = job.plan(small, context.stack).phases
        named = [replace(p, name=f"{p.stage}/small", network=network, share=p.share * share) for p in own]
        named[-1] = replace(named[-1], delay=named[-1].delay + self.decision)
        head = [replace(named[-1], name=f"{named[-1].stage}/auxiliary", share=self.auxiliary, delay=0.0)]
        return [*named, *(head if self.auxiliary else [])]

    def _loaded(self, phases: list[Phase], rate: float) -> list[Phase]:
        """The phases with the time to load their weights in front, ``rate`` times per execution."""
        first = phases[0]
        size = largest(first.graph.footprint(Role.WEIGHT))
        return [replace(first, delay=first.delay + rate * size / self.load / first.steps), *phases[1:]]
