"""A decoder in two halves, the second of which looks at one cache only."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import Attention, DecoderModel, LayerGroup, Model
from perfsim.architectures.shared_attention import SharedAttention
from perfsim.graph import OperatorGraph
from perfsim.graph.edit import reshaped
from perfsim.graph.regions import carried
from perfsim.ops.general import Move
from perfsim.techniques.base import Context, ModelRewrite, parameter
from perfsim.techniques.tokens.reduction import inserted
from perfsim.workloads import Phase, Plan

__all__ = ["CacheOnce"]


@dataclass(frozen=True, kw_only=True)
class CacheOnce(ModelRewrite):
    """The first half of the layers sees a ``window``, its last one everything; the second half looks at that one cache.

    So the cache is that of one full layer and of windows, whatever the depth. The second half makes no keys and values,
    hence nothing of it is needed for a prompt but its last token: the prompt pass ends in the middle for all others.

    References
    ----------
    .. [1] Y. Sun et al., "You Only Cache Once: Decoder-Decoder Architectures", arXiv 2405.05254.
    """

    window: int = parameter(1024, "positions that the first half sees", least=1, most=10**9)
    stops: int = parameter(1, "1 if a prompt goes through the first half only", least=0, most=1)

    name = "cache-once"
    reference = "arXiv 2405.05254"
    idempotent = False

    def refuses(self, model: Model, context: Context) -> str | None:
        groups = model.groups if isinstance(model, DecoderModel) else ()
        if [type(group.attention) for group in groups] != [Attention]:
            return "it is no stack of equal layers with keys and values of their own"
        return None if groups[0].count > 1 else "it has no two halves"

    def remodelled(self, model: Model, context: Context) -> Model:
        assert isinstance(model, DecoderModel)
        return replace(model, groups=self._halves(model.groups[0]))

    def _halves(self, group: LayerGroup) -> tuple[LayerGroup, ...]:
        mixer, half = group.attention, group.count // 2
        assert isinstance(mixer, Attention)
        own = replace(group, name=f"{group.name}.full", count=1)
        shared = SharedAttention(**vars(mixer), source=own.name)
        behind = replace(group, name=f"{group.name}.looking", count=group.count - half, attention=shared)
        near = replace(group, name=f"{group.name}.local", count=half - 1, attention=replace(mixer, window=self.window))
        return (near, own, behind) if half > 1 else (own, behind)

    def apply(self, plan: Plan, context: Context) -> Plan:
        return plan.replace(phases=tuple(self._stopped(phase) for phase in plan.phases)) if self.stops else plan

    @staticmethod
    def _stopped(phase: Phase) -> Phase:
        regions = [name for name in phase.graph.regions if name.endswith(".looking")]
        if phase.stage != "prefill" or phase.network or not regions:
            return phase
        return replace(phase, graph=_last_token(phase.graph, regions[0]))


def _last_token(graph: OperatorGraph, region: str) -> OperatorGraph:
    """The graph in which only the last token of every sequence enters a region; what it sees stays."""
    entering = carried(graph, region)[0]
    batch, _, width = graph.tensors[entering].shape
    name = f"{region}.last"
    last = graph.tensors[entering].replace(name=name, shape=(batch, 1, width), region="")
    take = Move(f"{name}.take", (entering,), (name,), "", (last.shape,), 0, "copy", (batch * width,))
    operators = inserted(list(graph.operators), [take], region, entering)
    return reshaped(replace(graph, operators=tuple(operators), tensors={**graph.tensors, name: last}))
