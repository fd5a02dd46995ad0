"""Speculative decoding: a small network drafts, the large one checks all drafted tokens in one pass."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.errors import InputError
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.shares import probabilities_of
from perfsim.techniques.speculation.acceptance import Round, expected_round
from perfsim.techniques.speculation.phases import own_model, prompt_pass, refusal, second_model, with_rounds
from perfsim.workloads import Plan, decode_rounds

__all__ = ["SpeculativeDecoding", "drafted_acceptance"]


def drafted_acceptance(where: str, text: str, length: int) -> tuple[float, ...]:
    """Acceptance of each drafted position: one number for all, or one per position.

    Raises
    ------
    InputError
        if there are other than one or ``length`` numbers, or one is no share.
    """
    stated = probabilities_of(where, text)
    if len(stated) not in (1, length):
        raise InputError(f'{where}="{text}": expected one share, or {length} with slashes between them')
    return stated * length if len(stated) == 1 else stated


@dataclass(frozen=True, kw_only=True)
class SpeculativeDecoding(PlanRewrite):
    """A draft network proposes ``length`` tokens one by one, the network checks them in one pass and adds one.

    A round gains 1 + Σₖ a₁·…·aₖ tokens on average, (1 − a^(g+1)) / (1 − a) for a constant acceptance a. Per output
    token there are 1/E checks of drafted + 1 positions, with logits of all of them, and drafted/E passes of the draft.
    The draft reads the prompt too; its weights and cache lie beside those of the network. With a stopping rule
    (``detection``, ``false_stop``) drafts end early; then a check is priced at its mean length. All sequences of a
    batch move together, each by what it gains; the wait for the unluckiest one at the end is left out, and so is the
    arithmetic of the acceptance test itself.

    References
    ----------
    .. [1] Y. Leviathan et al., arXiv 2211.17192. [2] C. Chen et al., arXiv 2302.01318. [3] K. Huang et al.,
       arXiv 2405.19715: drafts of adaptive length.
    """

    draft: str = parameter("", "catalogue name of the draft network; empty drafts nothing", unit="name")
    length: int = parameter(4, "tokens drafted per round, at most", least=1, most=256)
    acceptance: str = parameter(
        "0.7", "probability that a drafted token is accepted if all before it are; one, or one per position"
    )
    detection: float = parameter(
        0.0, "probability that drafting stops behind a token that will be rejected", least=0.0, most=1.0
    )
    false_stop: float = parameter(
        0.0, "probability that drafting stops behind a token that would be accepted", least=0.0, most=1.0
    )

    name = "speculative-decoding"
    reference = "arXiv 2211.17192"
    idempotent = False
    neutral = {"draft": ""}
    turn = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        drafted_acceptance(f"{self.name}: acceptance", self.acceptance, self.length)

    @property
    def round(self) -> Round:
        """Expected tokens gained and drafted in a round [1]."""
        acceptance = drafted_acceptance(f"{self.name}: acceptance", self.acceptance, self.length)
        return expected_round(acceptance=acceptance, detection=self.detection, false_stop=self.false_stop)

    def requires(self, plan: Plan, context: Context) -> str | None:
        """Two language models, and nothing else that makes several tokens per pass."""
        return refusal(plan, context, self.draft)

    def apply(self, plan: Plan, context: Context) -> Plan:
        if not self.draft:
            return plan
        draft, each = second_model(context, self.draft), self.round
        checked = each.drafted + 1
        rounds = (
            decode_rounds(
                plan.job, draft, context.stack, name="decode/draft", passes=each.drafted / each.tokens, network="draft"
            ),
            decode_rounds(
                plan.job, own_model(context), context.stack, name="decode/verify", passes=1 / each.tokens,
                tokens=int(checked) if checked.is_integer() else checked, all_logits=True,
            ),
        )  # fmt: skip
        return with_rounds(plan, prompt_pass(plan, context, draft, "draft"), rounds)
