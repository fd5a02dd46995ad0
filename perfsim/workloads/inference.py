"""Text generation: a prompt is read once, then tokens come one by one."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures import LanguageModel, Model, expect
from perfsim.devices import Stack
from perfsim.errors import InputError
from perfsim.quantities.numbers import Number, is_array, is_recorded, is_symbolic
from perfsim.workloads.job import Job
from perfsim.workloads.plan import Phase, Plan

__all__ = ["Decode", "Inference", "Prefill"]

MAX_STEPS = 2_000_000
"""Longest decode that is evaluated position by position."""


def _language_model(model: Model, job: Job) -> LanguageModel:
    return expect(LanguageModel, model, type(job).__name__, "SinglePass")  # type: ignore[type-abstract]


@dataclass(frozen=True, kw_only=True)
class Inference(Job):
    """``batch`` prompts of ``prompt_tokens`` tokens, ``output_tokens`` new tokens each.

    The prompt pass emits the first token, each of the other ``output_tokens - 1`` is a decode step whose
    cache is one position longer; their times are added exactly, position by position:
    T(p, o) = α(p) + Σ β(p + i), i = 1 … o − 1.

    References
    ----------
    .. [1] D. Narayanan et al., arXiv 2305.02440, equation 1 (with β taken constant there).
    """

    prompt_tokens: Number = 1024
    output_tokens: Number = 128

    task: ClassVar[str] = "inference"
    at_least: ClassVar[dict[str, int]] = {"batch": 1, "prompt_tokens": 1, "output_tokens": 0}

    @property
    def decode_steps(self) -> Number:
        return self.output_tokens - 1

    @property
    def tokens_out(self) -> Number:
        return self.batch * self.output_tokens

    def plan(self, model: Model, stack: Stack) -> Plan:
        """Prefill, and one decode phase whose context is an array over the positions."""
        model = _language_model(model, self)
        prompt = model.graph(self.step(stack, tokens=self.prompt_tokens, context=self.prompt_tokens))
        phases = [Phase("prefill", prompt, 1, self.batch * self.prompt_tokens, self.batch)]
        steps = self.decode_steps
        if is_symbolic(steps) or steps > 0:
            context = self._positions(model.held(self.prompt_tokens), steps)
            step = self.step(stack, tokens=1, context=context, decode=True, source=self.prompt_tokens)
            phases.append(Phase("decode", model.graph(step), steps, self.batch, self.batch, True))
        return Plan(self, tuple(phases))

    def _positions(self, held: Number, steps: Number) -> Number:
        """Context of every decode step: held + 1 … held + output − 1; a symbol stays a symbol."""
        if is_symbolic(steps):
            return sys.modules["sympy"].Symbol("C", positive=True, integer=True)
        if is_recorded(self.prompt_tokens):
            return self.prompt_tokens.tape.position(self.prompt_tokens + 1, steps)
        if steps == 1 or is_array(held):
            return held + 1
        import numpy as np

        if steps > MAX_STEPS:
            raise InputError(f"output_tokens={self.output_tokens}: expected at most {MAX_STEPS + 1}")
        return np.arange(held + 1, held + 1 + steps, dtype=float)


@dataclass(frozen=True, kw_only=True)
class Prefill(Job):
    """One pass over a prompt, up to the first token."""

    prompt_tokens: Number = 1024

    task: ClassVar[str] = "prefill"
    at_least: ClassVar[dict[str, int]] = {"batch": 1, "prompt_tokens": 1}

    @property
    def tokens_out(self) -> Number:
        return self.batch

    def plan(self, model: Model, stack: Stack) -> Plan:
        graph = _language_model(model, self).graph(
            self.step(stack, tokens=self.prompt_tokens, context=self.prompt_tokens)
        )
        return Plan(self, (Phase("prefill", graph, 1, self.batch * self.prompt_tokens, self.batch),))


@dataclass(frozen=True, kw_only=True)
class Decode(Job):
    """One decode step that sees ``context_length`` positions, the new one included."""

    context_length: Number = 1024

    task: ClassVar[str] = "decode"
    at_least: ClassVar[dict[str, int]] = {"batch": 1, "context_length": 1}

    @property
    def decode_steps(self) -> Number:
        return 1

    @property
    def tokens_out(self) -> Number:
        return self.batch

    def plan(self, model: Model, stack: Stack) -> Plan:
        context = self.context_length  # an encoder is taken to have read as much
        step = self.step(stack, tokens=1, context=context, decode=True, source=context)
        graph = _language_model(model, self).graph(step)
        return Plan(self, (Phase("decode", graph, 1, self.batch, self.batch, True),))
