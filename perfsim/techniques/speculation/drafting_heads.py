"""Drafting without a second network: heads on the last features, small layers of their own, or text that repeats."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import DecoderModel
from perfsim.graph import GraphBuilder, OperatorGraph, Role
from perfsim.ops import Elementwise, Linear, Sample
from perfsim.quantities.dtypes import dtype
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.speculation.phases import own_model, refusal, with_rounds
from perfsim.workloads import Phase, Plan, decode_rounds

__all__ = ["DraftingHeads"]


@dataclass(frozen=True, kw_only=True)
class DraftingHeads(PlanRewrite):
    """Cheap drafts for ``tokens`` positions (of a chain or a tree), which the network checks in one pass.

    ``accepted`` tokens are gained per pass on average, the network's own included; it is declared, since it follows
    from the text and the training of the drafter. Drafts come from ``heads`` parallel heads on the last features (each
    a residual layer hidden × hidden and a projection to the vocabulary), or from ``layers`` decoder layers shaped like
    the network's own that run ``depth`` times in a row and share its tables, or, with neither, from the text itself
    (look-up), which costs nothing here. Checking computes logits of all positions; keys and values of refused ones are
    written and dropped. Moving the accepted branch of a tree together in the cache is left out.

    References
    ----------
    .. [1] T. Cai et al., "Medusa", arXiv 2401.10774. [2] Y. Li et al., "EAGLE", arXiv 2401.15077. [3] Y. Fu et al.,
       "Lookahead decoding", arXiv 2402.02057. [4] H. Xia et al., "Spec-Bench", arXiv 2401.07851: mean accepted tokens.
    """

    tokens: int = parameter(1, "positions checked per pass", least=1, most=4096)
    accepted: float = parameter(1.0, "tokens gained per pass, the network's own included", least=1.0, most=4096.0)
    heads: int = parameter(0, "parallel drafting heads", least=0, most=64)
    layers: int = parameter(0, "decoder layers of the drafter", least=0, most=64)
    depth: int = parameter(1, "passes of these layers, one after the other, per round", least=1, most=64)

    name = "drafting-heads"
    reference = "arXiv 2401.10774"
    idempotent = False
    neutral = {"tokens": 1, "accepted": 1.0}
    turn = 1

    def requires(self, plan: Plan, context: Context) -> str | None:
        """A decoder, and no more tokens gained than checked."""
        if self.accepted > self.tokens:
            return f"accepted={self.accepted} is more than the tokens={self.tokens} that are checked"
        if (self.heads or self.layers) and not isinstance(context.model, DecoderModel):
            return f"a {context.model.family} of this kind has no drafting heads here; use speculative-decoding"
        return refusal(plan, context)

    def apply(self, plan: Plan, context: Context) -> Plan:
        if self.tokens == 1 and not self.heads and not self.layers:
            return plan
        passes = 1 / self.accepted
        verify = decode_rounds(
            plan.job, own_model(context), context.stack, name="decode/verify", passes=passes, tokens=self.tokens,
            all_logits=True,
        )  # fmt: skip
        return with_rounds(plan, (), (*self._drafts(plan, context, passes, verify), verify))

    def _drafts(self, plan: Plan, context: Context, passes: float, verify: Phase | None) -> list[Phase | None]:
        model, result = context.model, list[Phase | None]()
        if not isinstance(model, DecoderModel) or verify is None:
            return result
        if self.layers:
            drafter = replace(model, groups=(replace(model.groups[-1], count=self.layers),), positions=0)
            phase = decode_rounds(
                plan.job, drafter, context.stack, name="decode/draft", passes=passes * self.depth, network="draft"
            )
            result.append(None if phase is None else replace(phase, graph=_borrowed_tables(phase.graph)))
        if self.heads:
            graph = _head_graph(model, plan.job.batch, self.heads, plan.job.dtype or "fp16")
            result.append(replace(verify, name="decode/heads", graph=graph, tokens=verify.sequences, network="heads"))
        return result


def _borrowed_tables(graph: OperatorGraph) -> OperatorGraph:
    """The drafter's graph with its token table and head being those of the network: they take no memory."""
    tensors = {
        name: t.replace(view_of="network") if t.role is Role.WEIGHT and not t.region and len(t.shape) > 1 else t
        for name, t in graph.tensors.items()
    }
    return replace(graph, tensors=tensors)


def _head_graph(model: DecoderModel, batch: object, heads: int, number_format: str) -> OperatorGraph:
    """``heads`` residual layers with a projection to the vocabulary each, on the last features."""
    b, chosen = GraphBuilder(), dtype(number_format)
    x = b.tensor("features", (batch, model.hidden), chosen, Role.ACTIVATION)
    with b.region("heads", heads):
        inner = b.weight("inner.weight", (model.hidden, model.hidden), chosen, 1)
        y = b.add(Elementwise, "silu", (b.add(Linear, "inner", (x, inner)),), function="silu")
        y = b.add(Elementwise, "residual", (y, x), function="add")
        table = b.weight("vocabulary.weight", (model.hidden, model.padded_vocabulary), chosen, 1)
        b.add(Sample, "sample", (b.add(Linear, "vocabulary", (y, table)),), dtype=dtype("int32"))
    return b.build()
