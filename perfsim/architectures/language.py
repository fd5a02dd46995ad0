"""What all models that write text have in common, whatever their layers are."""

from __future__ import annotations

from abc import abstractmethod

from perfsim.architectures.model import Model
from perfsim.architectures.step import Step
from perfsim.graph import OperatorGraph
from perfsim.quantities.numbers import Number

__all__ = ["LanguageModel"]


class LanguageModel(Model):
    """Base of the families that read a prompt and then write token by token."""

    family = "language model"

    @abstractmethod
    def graph(self, step: Step, sample: bool = True) -> OperatorGraph:
        """The graph of one pass: of the prompt, or of one new token if ``step.decode``.

        ``sample``: whether the pass ends with a drawn token (generation).
        """

    def held(self, prompt_tokens: Number) -> Number:
        """Positions that the decoder holds once a prompt of ``prompt_tokens`` was read [1]."""
        return prompt_tokens
