"""Another tokenizer: other numbers of tokens for the same text, another vocabulary."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import DecoderModel, Model
from perfsim.quantities.numbers import Number, varies
from perfsim.techniques.base import Context, ModelRewrite, parameter
from perfsim.techniques.tokens.prompts import has_prompt, with_prompt
from perfsim.workloads import Inference, Job

__all__ = ["Tokenizer"]


@dataclass(frozen=True, kw_only=True)
class Tokenizer(ModelRewrite):
    """The same text in ``tokens`` times as many tokens, from a vocabulary of ``vocabulary``.

    The job counts tokens of the tokenizer before, and so do the rates of the prediction, which stay comparable per
    text; prompt and output that are run become shorter or longer in proportion (rounded). Embedding and head follow the
    vocabulary. ``tokens`` 1 and ``vocabulary`` 0 leave both.

    References
    ----------
    .. [1] K. Ociepa et al., "Bielik v3 Small: Technical Report", arXiv 2505.02550.
    """

    tokens: float = parameter(1.0, "tokens per text over those of the tokenizer before", least=0.01, most=100.0)
    vocabulary: int = parameter(0, "tokens that there are; 0 for as many as before", least=0, most=10**8)

    name = "tokenizer"
    reference = "arXiv 2505.02550"
    idempotent = False
    neutral = {"tokens": 1.0, "vocabulary": 0}

    def refuses(self, model: Model, context: Context) -> str | None:
        return None if isinstance(model, DecoderModel) else "it is no decoder with a vocabulary"

    def remodelled(self, model: Model, context: Context) -> Model:
        assert isinstance(model, DecoderModel)
        return replace(model, vocabulary=self.vocabulary) if self.vocabulary else model

    def prepare(self, job: Job, context: Context) -> Job:
        if self.tokens == 1 or not has_prompt(job):
            return job
        job = with_prompt(job, self._scaled)
        return job.replace(output_tokens=self._scaled(job.output_tokens)) if isinstance(job, Inference) else job

    def _scaled(self, tokens: Number) -> Number:
        return tokens * self.tokens if varies(tokens) else max(1, round(tokens * self.tokens))
