"""Sparse steps with dense correction: the network drafts with a part of its own neurons and checks itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph, Tensor
from perfsim.ops.sparse import SparseProduct
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.products import layer_products, stored_weights
from perfsim.techniques.speculation.phases import own_model, refusal, with_rounds
from perfsim.workloads import Phase, Plan, decode_rounds

__all__ = ["SparseDraft"]


@dataclass(frozen=True, eq=False)
class _ChosenNeurons(SparseProduct):
    """A product with the neurons that this input needs: only their weights are read, all are stored."""

    kind = "chosen-neurons"
    reference = "arXiv 2409.03856"

    def accessed(self, tensor: Tensor, tensors: object) -> object:  # type: ignore[override]
        whole = super().accessed(tensor, tensors)  # type: ignore[arg-type]
        return whole * self.kept if len(tensor.shape) > 1 and tensor.name in self.inputs[1:] else whole


@dataclass(frozen=True, kw_only=True)
class SparseDraft(PlanRewrite):
    """Decoding with ``density`` of the feed-forward neurons, corrected by a dense pass over every ``period`` tokens.

    A round is ``period`` sparse steps and one dense pass over these tokens, which rewrites their cache and keeps
    ``accepted`` of them (1 to ``period``). Per output token: period/accepted sparse passes and 1/accepted dense ones.
    Weights lie in memory once. With ``load`` the dense weights do not lie on the device: each dense pass brings those
    that are missing over a link of that rate, (1 − density) of the feed-forward weights. The choice of neurons per
    token is taken to be free (it is made once per prompt in the reference).

    References
    ----------
    .. [1] Y. Zhou et al., "Sirius: Contextual Sparsity with Correction for Efficient LLMs", arXiv 2409.03856.
    """

    density: float = parameter(1.0, "feed-forward neurons that a sparse step uses, over all", least=0.0001, most=1.0)
    period: int = parameter(16, "tokens between two dense passes", least=1, most=4096)
    accepted: float = parameter(16.0, "of these tokens, those that the dense pass keeps", least=1.0, most=4096.0)
    load: float = parameter(0.0, "rate at which missing weights come; 0 if all are there", unit="byte/s", least=0.0,
                            most=1e15)  # fmt: skip

    name = "sparse-draft"
    reference = "arXiv 2409.03856"
    idempotent = False
    neutral = {"density": 1.0}
    turn = 1

    def requires(self, plan: Plan, context: Context) -> str | None:
        """Feed-forward blocks, and no more tokens kept than drafted."""
        if self.accepted > self.period:
            return f"accepted={self.accepted} is more than the period={self.period}"
        return refusal(plan, context)

    def apply(self, plan: Plan, context: Context) -> Plan:
        if self.density == 1:
            return plan
        job, model, stack = plan.job, own_model(context), context.stack
        drafts = decode_rounds(job, model, stack, name="decode/sparse", passes=self.period / self.accepted)
        check = decode_rounds(
            job, model, stack, name="decode/correct", passes=1 / self.accepted, tokens=self.period, all_logits=True
        )
        return with_rounds(plan, (), (self._sparse(drafts), self._loaded(check)))

    def _sparse(self, phase: Phase | None) -> Phase | None:
        if phase is None:
            return None
        chosen = {op.name for op in _feed_forward(phase.graph)}
        operators = [self._neurons(op) if op.name in chosen else op for op in phase.graph.operators]
        return replace(phase, graph=replace(phase.graph, operators=tuple(operators)))

    def _neurons(self, op: Operator) -> Operator:
        return _ChosenNeurons(op.name, op.inputs, op.outputs, op.region, op, self.density)

    def _loaded(self, phase: Phase | None) -> Phase | None:
        if phase is None or not self.load:
            return phase
        graph = phase.graph
        size = sum(
            graph.tensors[name].nbytes * graph.count(op) for op in _feed_forward(graph)
            for name in stored_weights(op, graph)
        )  # fmt: skip
        return replace(phase, delay=phase.delay + (1 - self.density) * size / self.load)


def _feed_forward(graph: OperatorGraph) -> list[Operator]:
    return [op for op in layer_products(graph) if ".mlp." in op.name]
