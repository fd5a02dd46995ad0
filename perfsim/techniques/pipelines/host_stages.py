"""Stages around a network that run elsewhere: decoding a picture, a copy, a message broker, a radio."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.errors import InputError
from perfsim.graph import OperatorGraph
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.workloads import Phase, Plan

__all__ = ["HostStages", "stages_of"]


def stages_of(where: str, text: str) -> dict[str, float]:
    """Seconds by the name of a stage, from ``name=seconds/name=seconds``.

    Raises
    ------
    InputError
        if a part is no name with a time of at least 0 behind it.
    """
    result = {}
    for part in filter(None, text.split("/")):
        name, _, value = part.partition("=")
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if not name or not seconds >= 0:
            raise InputError(
                f'{where}="{text}": expected name=seconds with slashes between, e.g. jpeg=0.003/resize=0.001'
            )
        result[name] = seconds
    return result


@dataclass(frozen=True, kw_only=True)
class HostStages(PlanRewrite):
    """Declared times ``before`` and ``after`` the network: they add to the latency, and to ttft if they come before.

    What the device does meanwhile is waiting. The rate of a pipeline whose stages overlap is that of its slowest stage,
    which ``perfsim.prediction.adaptive.pipeline_rate`` gives from the same numbers.

    References
    ----------
    .. [1] A. F. AbouElhamayed et al., "Beyond Inference: Performance Analysis of DNN Server Overheads for Computer
       Vision", arXiv 2403.12981.
    """

    before: str = parameter("", "stages and their seconds, e.g. jpeg=0.003/resize=0.001", unit="s")
    after: str = parameter("", "stages and their seconds behind the network", unit="s")

    name = "host-stages"
    reference = "arXiv 2403.12981"
    idempotent = False
    neutral = {"before": "", "after": ""}
    turn = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for text in ("before", "after"):
            stages_of(f"{self.name}: {text}", getattr(self, text))

    def apply(self, plan: Plan, context: Context) -> Plan:
        first = "prefill" if any(p.stage == "prefill" for p in plan.phases) else "before"
        front, back = (_phases(stage, text) for stage, text in ((first, self.before), ("after", self.after)))
        return plan.replace(phases=(*front, *plan.phases, *back))


def _phases(stage: str, text: str) -> list[Phase]:
    """Phases without work."""
    waits = stages_of(stage, text).items()
    return [Phase(f"{stage}/{name}", OperatorGraph((), {}), 1, 0, 0, delay=seconds) for name, seconds in waits]
