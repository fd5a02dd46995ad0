"""Small tuned models that steer a large one at every token."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import DecoderModel, LanguageModel
from perfsim.graph import GraphBuilder, OperatorGraph, Role
from perfsim.ops import Elementwise, Softmax
from perfsim.quantities.dtypes import DTYPES
from perfsim.quantities.numbers import Number
from perfsim.techniques.base import Context, OptionalRewrite, parameter
from perfsim.workloads import Inference, Phase, Plan

__all__ = ["LogitsFusion"]


@dataclass(frozen=True, kw_only=True)
class LogitsFusion(OptionalRewrite):
    """``experts`` small models of one kind run beside the large one, and weights for their logits are solved per token.

    Prompt and every decode step run in all models, one after the other, each with weights and cache of its own. The
    solver takes ``iterations`` passes of a softmax and a weighted sum over all logits, in 32 bits. In return the large
    model is not trained.

    References
    ----------
    .. [1] C. Fan et al., "On Giant's Shoulders: Effortless Weak to Strong by Dynamic Logits Fusion", arXiv 2406.15480.
    """

    expert: str = parameter("", "catalogue name of the small models; empty for none", unit="name")
    experts: int = parameter(1, "small models", least=0, most=64)
    iterations: int = parameter(20, "passes of the solver per token", least=0, most=10**6)

    name = "logits-fusion"
    reference = "arXiv 2406.15480"
    neutral = {"expert": ""}
    idempotent = False
    turn = 1

    def requires(self, plan: Plan, context: Context) -> str | None:
        if not isinstance(plan.job, Inference) or not isinstance(context.model, DecoderModel):
            return "it needs a decoder with a prompt and an output; use Inference"
        small = context.find_model(self.expert)
        return None if isinstance(small, LanguageModel) else f"{self.expert} is a {small.family} and writes no text"

    def apply(self, plan: Plan, context: Context) -> Plan:
        phases = list(plan.phases)
        small = plan.job.plan(context.find_model(self.expert), context.stack).phases
        for index in range(self.experts):
            phases += [replace(p, name=f"{p.stage}/expert{index}", network=f"expert{index}") for p in small]
        if self.iterations and self.experts:
            assert isinstance(context.model, DecoderModel)
            solve = _solver(plan.job.batch, self.experts + 1, context.model.padded_vocabulary, self.iterations)
            shared = [p for p in plan.phases if p.stage in ("prefill", "decode") and not p.network]
            phases += [
                Phase(f"{p.stage}/solver", solve, p.steps, 0, 0, share=p.share, network="solver") for p in shared
            ]
        return plan.replace(phases=tuple(phases))


def _solver(batch: Number, models: int, vocabulary: int, iterations: int) -> OperatorGraph:
    b = GraphBuilder()
    logits = b.tensor("logits", (batch, models, vocabulary), DTYPES["fp32"], Role.INPUT)
    with b.region("solver", iterations):
        b.add(Elementwise, "scale", (b.add(Softmax, "softmax", (logits,)),), function="scale")
    return b.build()
