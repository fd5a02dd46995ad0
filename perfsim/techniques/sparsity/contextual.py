"""Contextual sparsity: each token uses only the neurons that a predictor names, and a correction repairs the loss."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import LanguageModel, expect
from perfsim.graph import Operator, OperatorGraph, Tensor
from perfsim.graph.tensor import Role
from perfsim.ops import Linear
from perfsim.ops.contextual import ContextualProduct
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.products import layer_products, nothing_stored, part_of, stored_weights
from perfsim.workloads import Plan
from perfsim.workloads.plan import Phase
from perfsim.workloads.rounds import decode_rounds

__all__ = ["ContextualSparsity"]


@dataclass(frozen=True, kw_only=True)
class ContextualSparsity(PlanRewrite):
    """In decode, each token multiplies with a share ``active`` of the neurons of every feed-forward block.

    A predictor of rank ``predictor`` (hidden × rank, rank × neurons) names them from the layer's input: its weights
    are stored and read in every step. With several sequences a step reads the union of what they need,
    1 − (1 − active)^batch, so the gain fades with the batch. All weights stay in memory, and prompts run densely.

    With ``period`` a correction pass of the whole model checks every ``period`` tokens at once, and ``advance`` of
    them stay on average: per output token period/advance sparse steps and 1/advance passes over ``period`` tokens.

    References
    ----------
    .. [1] Z. Liu et al., "Deja Vu", arXiv 2310.17157. [2] Y. Zhou et al., "Sirius", arXiv 2409.03856: correction.
    """

    active: float = parameter(0.5, "neurons that a token uses, over all", least=0.001, most=1.0)
    predictor: int = parameter(0, "rank of the predictor; 0 for a choice that costs nothing", least=0, most=65536)
    period: int = parameter(0, "tokens between corrections; 0 for none", least=0, most=65536)
    advance: float = parameter(0.0, "tokens that stay of each period; 0 for all of them", least=0.0, most=65536)

    name = "contextual-sparsity"
    reference = "arXiv 2310.17157"
    idempotent = False
    neutral = {"active": 1.0}
    turn = 1

    def requires(self, plan: Plan, context: Context) -> str | None:
        if not any(phase.stage == "decode" for phase in plan.phases):
            return "the job has no decode steps, in which single tokens leave neurons out"
        if self.advance > self.period:
            return f"advance={self.advance} of period={self.period} tokens cannot stay; use at most {self.period}"
        if self.period and not isinstance(context.model, LanguageModel):
            return f"a correction needs a language model, {context.model.name} is a {context.model.family}"
        return nothing_stored(phase.graph for phase in plan.phases)

    def apply(self, plan: Plan, context: Context) -> Plan:
        phases: list[Phase] = []
        per_token = self.period / (self.advance or self.period) if self.period else 1
        for phase in plan.phases:
            sparse = phase.stage == "decode" and self.active < 1
            graph = self._sparse(phase.graph) if sparse else phase.graph
            phases.append(replace(phase, graph=graph, share=phase.share * per_token) if sparse else phase)
        if self.period:
            phases += self._correction(plan, context)
        return plan.replace(phases=tuple(phases))

    def _correction(self, plan: Plan, context: Context) -> list[Phase]:
        model = expect(LanguageModel, context.model, "a correction", "Inference")  # type: ignore[type-abstract]
        passes = 1 / (self.advance or self.period)
        pass_ = decode_rounds(
            plan.job, model, context.stack, name="decode/correct", passes=passes, tokens=self.period, all_logits=True
        )
        return [] if pass_ is None else [pass_]

    def _sparse(self, graph: OperatorGraph) -> OperatorGraph:
        tensors, operators = dict(graph.tensors), list[Operator]()
        chosen = {op.name for op in layer_products(graph) if isinstance(op, Linear) and part_of(op) == "ffn"}
        predicted: set[str] = set()
        for op in graph.operators:
            if op.name not in chosen:
                operators.append(op)
                continue
            if self.predictor and op.region not in predicted:
                predicted.add(op.region)
                operators += self._predictor(op, graph, tensors)
            operators.append(ContextualProduct(op.name, op.inputs, op.outputs, op.region, op, self.active))
        return replace(graph, tensors=tensors, operators=tuple(operators))

    def _predictor(self, op: Operator, graph: OperatorGraph, tensors: dict[str, Tensor]) -> list[Operator]:
        """Two thin products from the block's input to one logit per neuron."""
        source, weight = tensors[op.inputs[0]], tensors[stored_weights(op, graph)[0]]
        width = source.shape[-1]
        made: list[Operator] = []
        entering = source
        for part, shape in (("first", (width, self.predictor)), ("second", (self.predictor, weight.shape[-1]))):
            name = f"{op.region}.predictor.{part}"
            tensors[f"{name}.weight"] = weight.replace(
                name=f"{name}.weight", shape=shape, role=Role.WEIGHT, shard=1 if part == "second" else None
            )
            leaving = source.replace(name=f"{name}.out", shape=(*entering.shape[:-1], shape[1]))
            tensors[leaving.name] = leaving
            made.append(Linear(name, (entering.name, f"{name}.weight"), (leaving.name,), op.region))
            entering = leaving
        return made
