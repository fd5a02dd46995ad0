"""Two language models share one answer: by regions of tokens, or token by token."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import GraphBuilder, OperatorGraph, Role
from perfsim.ops import Linear
from perfsim.quantities.dtypes import dtype
from perfsim.quantities.numbers import Number, power
from perfsim.techniques.base import Context, OptionalRewrite, parameter
from perfsim.techniques.speculation.phases import own_model, prompt_pass, refusal, second_model, with_rounds
from perfsim.workloads import Phase, Plan, decode_rounds

__all__ = ["ModelRouting", "ModelSwitching", "called_share"]


def called_share(*, share: float, batch: Number) -> Number:
    """Probability that at least one of ``batch`` sequences calls the large model for its next token [1]: 1 − (1 −
    s)^b.
    """
    return 1 - power(1.0 - share, batch)


@dataclass(frozen=True, kw_only=True)
class ModelSwitching(OptionalRewrite):
    """The model decodes ``share`` of the tokens, in regions of ``region`` tokens; the network ``small`` the others.

    After each change the model that takes over reads the tokens it missed in one pass (``catch_up=prefill``): the big
    one region·(1 − s)/s tokens, the small one ``region``, both s/region times per token. With ``catch_up=none`` its
    cache is taken to have been kept up for free. Both networks and both caches are in memory. The entropy that decides
    is a reduction over logits that exist anyway and is left out.

    References
    ----------
    .. [1] T. Simonds, "Entropy Adaptive Decoding: Dynamic Model Switching for Efficient Inference", arXiv 2502.06833.
    """

    small: str = parameter("", "catalogue name of the small network; empty for none", unit="name")
    share: float = parameter(0.5, "tokens that the model asked for decodes, over all", least=0.0, most=1.0)
    region: float = parameter(16.0, "tokens that it decodes in a row, on average", least=1.0, most=1e6)
    catch_up: str = parameter("prefill", "how a model learns the tokens it missed", choices=("prefill", "none"))

    name = "model-switching"
    reference = "arXiv 2502.06833"
    idempotent = False
    neutral = {"small": ""}
    turn = 1

    def requires(self, plan: Plan, context: Context) -> str | None:
        """Two language models, and nothing else that decides how tokens are made."""
        return refusal(plan, context, self.small)

    def apply(self, plan: Plan, context: Context) -> Plan:
        job, stack, big, small = plan.job, context.stack, own_model(context), second_model(context, self.small)
        rate, missed = self.share / self.region, self.region * (1 - self.share) / max(self.share, 1e-12)
        rounds: list[Phase | None] = [
            decode_rounds(job, small, stack, name="decode/small", passes=1 - self.share, network="small"),
            decode_rounds(job, big, stack, name="decode/big", passes=self.share),
        ]
        if self.catch_up == "prefill" and 0 < self.share < 1:
            rounds += [
                decode_rounds(
                    job, small, stack, name="decode/small-reads", passes=rate, tokens=self.region, network="small"
                ),
                decode_rounds(job, big, stack, name="decode/big-reads", passes=rate, tokens=missed),
            ]
        return with_rounds(plan, prompt_pass(plan, context, small, "small"), rounds)


@dataclass(frozen=True, kw_only=True)
class ModelRouting(OptionalRewrite):
    """A small network proposes every token, a router sends ``share`` of them to the model asked for.

    The model reads the tokens since its last call together with the routed one, so a call is one short pass. With a
    batch it is called if any sequence needs it, with probability 1 − (1 − s)^b, and then brings all caches up to
    date. The router is a perceptron of ``router`` parameters on the small network's features. Both networks and both
    caches are in memory.

    References
    ----------
    .. [1] T. Fu et al., "R2R: Efficiently Navigating Divergent Reasoning Paths with Small-Large Model Token Routing",
       arXiv 2505.21600.
    """

    small: str = parameter("", "catalogue name of the network that proposes; empty for none", unit="name")
    share: float = parameter(0.15, "tokens that go to the model asked for, over all", least=0.0001, most=1.0)
    router: float = parameter(0.0, "parameters of the router", least=0.0, most=1e12)

    name = "model-routing"
    reference = "arXiv 2505.21600"
    idempotent = False
    neutral = {"small": ""}
    turn = 1

    def requires(self, plan: Plan, context: Context) -> str | None:
        """Two language models, and nothing else that decides how tokens are made."""
        return refusal(plan, context, self.small)

    def apply(self, plan: Plan, context: Context) -> Plan:
        job, stack, small = plan.job, context.stack, second_model(context, self.small)
        called = called_share(share=self.share, batch=job.batch)
        proposing = decode_rounds(job, small, stack, name="decode/small", passes=1.0, network="small")
        rounds = [
            proposing, *self._router(proposing, plan),
            decode_rounds(job, own_model(context), stack, name="decode/big", passes=called, tokens=1 / called),
        ]  # fmt: skip
        return with_rounds(plan, prompt_pass(plan, context, small, "small"), rounds)

    def _router(self, proposing: Phase | None, plan: Plan) -> list[Phase]:
        if proposing is None or not self.router:
            return []
        graph = _perceptron(plan.job.batch, self.router, plan.job.dtype or "fp16")
        fields = {**vars(proposing), "name": "decode/router", "graph": graph, "network": "router"}
        return [Phase(**fields)]


def _perceptron(batch: Number, parameters: float, number_format: str) -> OperatorGraph:
    """A product with ``parameters`` weights per sequence."""
    b, chosen, width = GraphBuilder(), dtype(number_format), 1024
    x = b.tensor("features", (batch, width), chosen, Role.ACTIVATION)
    b.add(Linear, "router", (x, b.weight("router.weight", (width, round(parameters / width)), chosen)))
    return b.build()
