"""Step-level speculation: a small network writes whole reasoning steps, the large one grades or rewrites them."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.speculation.acceptance import constant_expectation
from perfsim.techniques.speculation.phases import own_model, prompt_pass, refusal, second_model, with_rounds
from perfsim.workloads import Phase, Plan, decode_rounds

__all__ = ["StepSpeculation"]


@dataclass(frozen=True, kw_only=True)
class StepSpeculation(PlanRewrite):
    """A draft writes each step of ``step`` tokens, the model grades it in one short pass and rewrites refused ones.

    Per step: ``step`` passes of the draft; one pass of the model over the step and the ``scoring`` tokens of the
    question that grades it; with probability 1 − ``acceptance`` the model decodes the step anew and the draft reads
    the new one in one pass. Per output token: draft 1 + (1 − a)/step passes, model 1/step grading passes and (1 − a)
    decode passes. The last may be speculative themselves: ``length`` drafted tokens accepted with
    ``token_acceptance``, 0 for plain decoding. Parallel paths are ``parallel-samples``, which combine with this. A
    batch moves together. Steps are taken to be equally long whoever writes them.

    References
    ----------
    .. [1] R. Pan et al., "SpecReason", arXiv 2504.07891. [2] Y. Chu et al., "SSR: Speculative Parallel Scaling
       Reasoning in Test-time", arXiv 2505.15340.
    """

    draft: str = parameter("", "catalogue name of the network that writes the steps; empty for none", unit="name")
    step: int = parameter(50, "tokens of a reasoning step", least=1, most=100000)
    acceptance: float = parameter(0.5, "probability that a step is kept", least=0.0, most=1.0)
    scoring: int = parameter(50, "tokens of the question that grades a step, and of its answer", least=0, most=100000)
    length: int = parameter(0, "tokens drafted per round of the model's own steps; 0 for none", least=0, most=256)
    token_acceptance: float = parameter(0.7, "probability that such a token is accepted", least=0.0, most=1.0)

    name = "step-speculation"
    reference = "arXiv 2504.07891"
    idempotent = False
    neutral = {"draft": ""}
    turn = 1

    def requires(self, plan: Plan, context: Context) -> str | None:
        """Two language models, and nothing else that decides how tokens are made."""
        return refusal(plan, context, self.draft)

    def apply(self, plan: Plan, context: Context) -> Plan:
        if not self.draft:
            return plan
        model, draft = own_model(context), second_model(context, self.draft)
        job, stack, refused = plan.job, context.stack, 1 - self.acceptance
        rounds: list[Phase | None] = [
            decode_rounds(job, draft, stack, name="decode/draft", passes=1.0, network="draft"),
            decode_rounds(
                job, model, stack, name="decode/grade", passes=1 / self.step, tokens=self.step + self.scoring
            ),
        ]
        if refused:
            rounds.append(decode_rounds(
                job, draft, stack, name="decode/reread", passes=refused / self.step, tokens=self.step, network="draft"
            ))  # fmt: skip
            rounds += self._rewriting(plan, context, refused)
        return with_rounds(plan, prompt_pass(plan, context, draft, "draft"), rounds)

    def _rewriting(self, plan: Plan, context: Context, refused: float) -> list[Phase | None]:
        job, stack, model = plan.job, context.stack, own_model(context)
        if not self.length:
            return [decode_rounds(job, model, stack, name="decode/rewrite", passes=refused)]
        gained = constant_expectation(acceptance=self.token_acceptance, length=self.length)
        return [
            decode_rounds(
                job, second_model(context, self.draft), stack, name="decode/rewrite-draft",
                passes=refused * self.length / gained, network="draft",
            ),
            decode_rounds(
                job, model, stack, name="decode/rewrite", passes=refused / gained, tokens=self.length + 1,
                all_logits=True,
            ),
        ]  # fmt: skip
