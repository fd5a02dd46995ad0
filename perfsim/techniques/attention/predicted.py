"""A prompt's cache that a smaller model predicts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import Attention, DecoderModel, Step
from perfsim.graph import GraphBuilder, OperatorGraph, Role
from perfsim.ops import CacheWrite, Linear
from perfsim.techniques.base import Context, OptionalRewrite, parameter
from perfsim.workloads import Inference, Phase, Plan, Prefill

__all__ = ["PredictedCache"]


@dataclass(frozen=True, kw_only=True)
class PredictedCache(OptionalRewrite):
    """An ``auxiliary`` model reads the prompt; linear maps turn its keys and values into those of every layer.

    Time to first token = prompt pass of the auxiliary model + two maps per layer of the model + one decode step of the
    model, which makes the first token. Later steps are as before. Weights of both models and the maps, and both caches,
    lie in memory; maps go from the width of the auxiliary keys (values) to that of the model's.

    References
    ----------
    .. [1] M. Horton et al., "KV Prediction for Improved Time to First Token", arXiv 2410.08391.
    """

    auxiliary: str = parameter("", "catalogue name of the smaller model; empty changes nothing", unit="name")

    name = "predicted-cache"
    reference = "arXiv 2410.08391"
    neutral = {"auxiliary": ""}
    idempotent = False
    turn = 1

    def requires(self, plan: Plan, context: Context) -> str | None:
        if not isinstance(plan.job, Inference | Prefill):
            return "the job reads no prompt; use a task with one, e.g. inference"
        for model in (context.model, context.find_model(self.auxiliary)):
            if not isinstance(model, DecoderModel) or not all(isinstance(g.attention, Attention) for g in model.groups):
                return f"{model.name} has layers without keys and values"
        return None

    def apply(self, plan: Plan, context: Context) -> Plan:
        job = plan.job
        assert isinstance(job, Inference | Prefill)
        reading = Prefill(prompt_tokens=job.prompt_tokens, batch=job.batch, dtype=job.dtype)
        small = context.find_model(self.auxiliary)
        (read,) = reading.plan(small, context.stack).phases
        step = job.step(context.stack, tokens=1, context=job.prompt_tokens, decode=True)
        assert isinstance(context.model, DecoderModel)
        assert isinstance(small, DecoderModel)
        whole = job.step(context.stack, tokens=job.prompt_tokens, context=job.prompt_tokens)
        tokens = job.batch * job.prompt_tokens
        phases = (
            replace(read, name="prefill/auxiliary", network="auxiliary"),
            Phase("prefill/maps", _maps(whole, small, context.model), 1, tokens, job.batch, network="maps"),
            Phase("prefill/first", context.model.graph(step), 1, job.batch, job.batch),
        )
        return plan.replace(phases=(*phases, *(p for p in plan.phases if p.stage != "prefill")))


def _maps(step: Step, small: DecoderModel, large: DecoderModel) -> OperatorGraph:
    """Keys and values of the auxiliary layers in, those of every layer of the model out."""
    b = GraphBuilder()
    source = small.groups[-1].attention
    assert isinstance(source, Attention)
    for group in large.groups:
        target = group.attention
        assert isinstance(target, Attention)
        with b.region(group.name, group.count):
            for part in ("key", "value"):
                given = b.tensor(
                    f"{part}.given", (step.batch, step.tokens, source.kv_heads * source.head_dim), step.cache_dtype,
                    Role.INPUT,
                )  # fmt: skip
                shape = (source.kv_heads * source.head_dim, target.kv_heads, target.head_dim)
                made = b.add(Linear, f"{part}.map", (given, b.weight(f"{part}.weight", shape, step.weight_dtype)))
                stored = (step.batch, step.tokens, target.kv_heads, target.head_dim)
                cache = b.tensor(f"{part}.written", stored, step.cache_dtype, Role.INDEX)
                b.add(CacheWrite, f"{part}.write", (made, cache), outputs=())
    return b.build()
