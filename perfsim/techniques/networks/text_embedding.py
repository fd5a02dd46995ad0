"""A language model that makes vectors of texts instead of more text."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import DecoderModel
from perfsim.graph import OperatorGraph, Role
from perfsim.graph.edit import reshaped
from perfsim.ops import CacheWrite
from perfsim.techniques.base import Context, OptionalRewrite, parameter
from perfsim.workloads import Phase, Plan, Prefill

__all__ = ["TextEmbedding"]


@dataclass(frozen=True, kw_only=True)
class TextEmbedding(OptionalRewrite):
    """The features of the last position are the result: no head, no drawn token, no cache.

    Keys and values live as long as their layer runs. The head's matrix is not stored unless it is the token table.
    ``pooled`` 0 leaves generation as it is. Attention stays causal: without the mask, which some embedders drop, a
    kernel computes about twice the pairs.

    References
    ----------
    .. [1] C. Tao et al., "LLMs are Also Effective Embedding Models: An In-depth Overview", arXiv 2412.12591.
    """

    pooled: int = parameter(1, "1 for vectors, 0 for generation", least=0, most=1)

    name = "text-embedding"
    reference = "arXiv 2412.12591"
    neutral = {"pooled": 0}

    def requires(self, plan: Plan, context: Context) -> str | None:
        if not isinstance(context.model, DecoderModel) or not isinstance(plan.job, Prefill):
            return "vectors come from one pass of a decoder over a text; use task prefill"
        return "it is spread over devices; use count=1" if context.system.count > 1 else None

    def apply(self, plan: Plan, context: Context) -> Plan:
        return plan.replace(phases=tuple(self._pooled(p) for p in plan.phases))

    def _pooled(self, phase: Phase) -> Phase:
        return replace(phase, graph=_without_head(phase.graph)) if phase.name == "prefill" else phase


def _without_head(graph: OperatorGraph) -> OperatorGraph:
    """The graph up to the last norm, with keys and values in place of their caches."""
    stops = ("head", "head.projection", "head_bias", "head.softcap", "head.to_fp32", "sample")
    kept = [op for op in graph.operators if op.name not in stops]
    fresh: dict[str, str] = {}
    for op in kept:
        if isinstance(op, CacheWrite):
            half = len(op.inputs) // 2
            fresh |= dict(zip(op.inputs[half:], op.inputs[:half], strict=True))
    operators = tuple(
        replace(op, inputs=tuple(fresh.get(name, name) for name in op.inputs))
        for op in kept
        if not isinstance(op, CacheWrite)
    )
    used = {name for op in operators for name in (*op.inputs, *op.outputs)}
    left = {name: t for name, t in graph.tensors.items() if name in used or (t.role is Role.WEIGHT and t.region)}
    return reshaped(replace(graph, operators=operators, tensors=left))
