"""What all techniques with a second language model need: its prompt pass, and decoding in other rounds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from perfsim.architectures import LanguageModel
from perfsim.techniques.base import Context
from perfsim.workloads import Phase, Plan

__all__ = ["AUTOREGRESSIVE", "own_model", "prompt_pass", "refusal", "second_model", "with_rounds"]

AUTOREGRESSIVE = "decode"
"""Name of the phase that makes one token per pass."""


def refusal(plan: Plan, context: Context, second: str = "") -> str | None:
    """Why decoding cannot be done in other rounds here, or None."""
    if not isinstance(context.model, LanguageModel):
        return f"a {context.model.family} writes no tokens one by one"
    if second and not isinstance(context.find_model(second), LanguageModel):
        return f"{second} is a {context.find_model(second).family} and writes no tokens one by one"
    if any(p.stage == "decode" and p.name != AUTOREGRESSIVE for p in plan.phases):
        return "another technique decides already how tokens are made; state one of them"
    return None


def second_model(context: Context, name: str) -> LanguageModel:
    """A language model of the catalogue; :func:`refusal` has checked that it is one."""
    model = context.find_model(name)
    assert isinstance(model, LanguageModel)
    return model


def own_model(context: Context) -> LanguageModel:
    """The model asked for; :func:`refusal` has checked that it is a language model."""
    assert isinstance(context.model, LanguageModel)
    return context.model


def prompt_pass(plan: Plan, context: Context, model: LanguageModel, network: str) -> tuple[Phase, ...]:
    """The pass in which ``model`` reads the same prompts, as phases ``prefill/<network>``; none without a prompt."""
    own = next((p for p in plan.phases if p.name == "prefill"), None)
    if own is None:
        return ()
    phases = plan.job.replace(batch=own.sequences).plan(model, context.stack).phases
    read = (p for p in phases if p.stage == "prefill")
    return tuple(replace(p, name=f"prefill/{network}", network=network, share=own.share) for p in read)


def with_rounds(plan: Plan, prompts: Iterable[Phase], rounds: Iterable[Phase | None]) -> Plan:
    """The plan with ``prompts`` behind its prompt pass and ``rounds`` instead of plain decoding, as often as that."""
    share = next((p.share for p in plan.phases if p.name == AUTOREGRESSIVE), 1)
    before = [p for p in plan.phases if p.stage == "prefill"]
    after = [p for p in plan.phases if p.stage not in ("prefill", "decode")]
    made = [replace(p, share=p.share * share) for p in rounds if p is not None]
    return plan.replace(phases=(*before, *prompts, *made, *after))
