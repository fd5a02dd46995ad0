"""An edited context whose cache is mended instead of computed again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import DecoderModel
from perfsim.graph import Operator, OperatorGraph, Role
from perfsim.ops import CacheWrite
from perfsim.ops.cache_edits import RotateCache
from perfsim.quantities.numbers import maximum, minimum
from perfsim.techniques.attention.prefix import with_new_tokens
from perfsim.techniques.attention.sites import causal_sites
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.workloads import Phase, Plan

__all__ = ["EditedCache"]


@dataclass(frozen=True, kw_only=True)
class EditedCache(PlanRewrite):
    """The prompt was in the cache before an edit; only the ``edited`` tokens are computed, and later keys are rotated.

    The prompt pass computes the edited tokens, which attend to all positions. The keys of the share ``behind`` of
    the cache are turned from their old positions to the new ones, once per edit: read, 3 operations per entry, and
    written. Values stay, and so does what later tokens have seen of the old text: an approximation whose quality is for
    the user to know. It is compared with reading the whole context again.

    References
    ----------
    .. [1] Z. He et al., "Let the Code LLM Edit Itself When You Edit the Code", arXiv 2407.03157.
    """

    edited: int = parameter(64, "tokens that are inserted or changed, over all edits", least=1, most=10**9)
    behind: float = parameter(0.5, "share of the cache behind the edit, whose keys move", least=0.0, most=1.0)
    edits: int = parameter(1, "passes over the keys, one per edit unless they are gathered", least=0, most=10**6)

    name = "positional-re-encoding"
    reference = "arXiv 2407.03157"
    idempotent = False

    def requires(self, plan: Plan, context: Context) -> str | None:
        if not isinstance(context.model, DecoderModel):
            return "its prompt is not read from the first token to the last, so an edit changes all of it"
        if any(p.stage == "prefill" and causal_sites(p.graph) for p in plan.phases):
            return None
        return "the job reads no prompt whose cache could be mended; use a task with one, e.g. inference"

    def apply(self, plan: Plan, context: Context) -> Plan:
        return plan.replace(phases=tuple(self._mended(phase) for phase in plan.phases))

    def _mended(self, phase: Phase) -> Phase:
        if phase.stage != "prefill" or phase.network or not causal_sites(phase.graph):
            return phase
        new = minimum(maximum(phase.tokens / phase.sequences, 1), self.edited)
        graph = with_new_tokens(phase.graph, new)
        return replace(phase, graph=self._rotated(graph), tokens=phase.sequences * new)

    def _rotated(self, graph: OperatorGraph) -> OperatorGraph:
        operators = list[Operator]()
        share = self.behind * self.edits
        for op in graph.operators:
            operators.append(op)
            caches = [name for name in op.inputs if graph.tensors[name].role is Role.KV_CACHE]
            if isinstance(op, CacheWrite) and caches and share:
                operators.append(RotateCache(f"{op.name}.rotate", (caches[0],), (), op.region, share))
        return replace(graph, operators=tuple(operators))
