"""Streams: most frames reuse what the last key frame computed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import OperatorGraph
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.depth.layer_skipping import spread
from perfsim.workloads import Phase, Plan

__all__ = ["FeatureReuse"]


@dataclass(frozen=True, kw_only=True)
class FeatureReuse(PlanRewrite):
    """Every ``interval``-th frame runs the whole network; the frames between run ``fresh`` of its layers.

    The others are replaced by features kept from the last key frame. Expected cost per frame is the mean of the two
    kinds; a key frame is the worst case. The kept features are written anyway; holding them takes no memory here.
    Networks without repeated layers cannot be cut this way.

    References
    ----------
    .. [1] X. Zhu et al., "Deep Feature Flow for Video Recognition", arXiv 1611.07715: key frames.
    """

    interval: int = parameter(1, "frames from one key frame to the next", least=1, most=10**6)
    fresh: float = parameter(0.5, "layers that run on the other frames, over all", least=0.0001, most=1.0)

    name = "feature-reuse"
    reference = "arXiv 1611.07715"
    idempotent = False
    neutral = {"interval": 1}
    turn = 1

    def requires(self, plan: Plan, context: Context) -> str | None:
        """A single pass with repeated layers."""
        passes = [p for p in plan.phases if p.stage == "forward"]
        if not passes:
            return "it needs frames; use SinglePass"
        repeated = all(any(count > 1 for count in p.graph.regions.values()) for p in passes)
        return None if repeated else "its layers are not repeated"

    def apply(self, plan: Plan, context: Context) -> Plan:
        if self.interval == 1:
            return plan
        return plan.replace(phases=tuple(part for phase in plan.phases for part in self._parts(phase)))

    def _parts(self, phase: Phase) -> list[Phase]:
        if phase.stage != "forward":
            return [phase]
        key = 1 / self.interval
        return [
            replace(phase, share=phase.share * key),
            replace(phase, name="forward/reuse", graph=self._partial(phase.graph), share=phase.share * (1 - key)),
        ]

    def _partial(self, graph: OperatorGraph) -> OperatorGraph:
        counts = spread(counts={name: int(count) for name, count in graph.regions.items()}, keep=self.fresh)
        return replace(graph, regions={name: max(1, count) for name, count in counts.items()})
