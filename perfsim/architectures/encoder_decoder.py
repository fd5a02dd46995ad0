"""Encoder-decoder transformers: T5, BART, Whisper."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from perfsim.architectures.language import LanguageModel
from perfsim.architectures.step import Step
from perfsim.architectures.text import AudioFront, Stack, TokenFront
from perfsim.errors import InputError
from perfsim.graph import GraphBuilder, OperatorGraph
from perfsim.ops import Linear, Sample, Select
from perfsim.quantities.dtypes import DTYPES
from perfsim.quantities.numbers import Number, is_array, is_symbolic

__all__ = ["EncoderDecoderModel"]


@dataclass(frozen=True)
class EncoderDecoderModel(LanguageModel):
    """A prompt is read by an encoder, then a decoder that looks at it writes token by token.

    source: tables of the encoder's tokens (those of the decoder if equal), or the front of a spectrogram; target: the
    decoder's tables; encoder, decoder: layers; tied: whether the head shares the token table; start_tokens: what the
    decoder is given to begin with. Others as for every model.

    The prompt is what the encoder reads. An encoder of sound always reads one whole window per sequence.

    References
    ----------
    .. [1] C. Raffel et al., "T5", arXiv 1910.10683. [2] A. Radford et al., "Whisper", arXiv 2212.04356.
    """

    name: str
    source: TokenFront | AudioFront
    target: TokenFront
    encoder: Stack
    decoder: Stack
    tied: bool = True
    start_tokens: int = 1
    dtype: str | None = None
    context_limit: int | None = None
    remarks: tuple[str, ...] = ()

    family = "language model"
    conventions = (
        "the prompt is what the encoder reads; its keys and values for the decoder are computed once and cached",
        "attention of the encoder and to the encoder counts every (query, key) pair, that of the decoder visible ones",
        "each weight is stored once and read once per pass; shared tables are stored once",
    )

    def shape(self) -> dict[str, int]:
        return {"layers": self.encoder.count + self.decoder.count, "hidden": self.target.hidden}

    @cached_property
    def parameters(self) -> int:
        """All stored parameters [1]."""
        fp16 = DTYPES["fp16"]
        return int(self.graph(Step(1, 1, 1, fp16, fp16, fp16)).parameters)

    def held(self, prompt_tokens: Number) -> Number:
        """The decoder begins with its start tokens, however long the prompt is."""
        del prompt_tokens
        return self.start_tokens

    def graph(self, step: Step, sample: bool = True) -> OperatorGraph:
        """Prompt: encoder, and the decoder's first pass; decode step: one token through the decoder."""
        b = GraphBuilder()
        table = source = ""
        positions = self._positions(step.source if step.decode else step.tokens)
        tokens: Number = 1
        if not step.decode:
            source, table = self._encode(b, step, positions)
            tokens = self.start_tokens
            step = replace(step, tokens=tokens, context=tokens)
        x, table = self.target.build(b, step, tokens, "decoder.", table)
        x = self.decoder.decode(b, step, x, source, positions)
        width, vocabulary = self.target.hidden, self.target.vocabulary
        if self.tied:
            head = b.view("head.weight", table, (width, vocabulary), 1)
        else:
            head = b.weight("head.weight", (width, vocabulary), step.weight_dtype, 1)
        x = b.add(Select, "head.last", (x,))
        logits = b.add(Linear, "head", (x, head))
        if sample:
            b.add(Sample, "sample", (logits,), dtype=DTYPES["int32"])
        return b.build()

    def _encode(self, b: GraphBuilder, step: Step, positions: Number) -> tuple[str, str]:
        table = ""
        if isinstance(self.source, AudioFront):
            x = self.source.build(b, step)
        else:
            x, made = self.source.build(b, step, positions, "")
            table = made if self.source.vocabulary == self.target.vocabulary else ""
        return self.encoder.encode(b, step, x), table

    def _positions(self, prompt: Number) -> Number:
        """Positions of the encoder for a prompt."""
        if not isinstance(self.source, AudioFront):
            return prompt
        window = self.source.positions
        if not (is_symbolic(prompt) or is_array(prompt)) and prompt > window:
            raise InputError(
                f"{prompt} positions for the encoder of {self.name}: it reads windows of {window}; "
                f"use at most {window}, and batch for more windows"
            )
        return window
