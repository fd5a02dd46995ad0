"""Encoder-only transformers: BERT and its relatives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from perfsim.architectures.model import Model
from perfsim.architectures.step import Step
from perfsim.architectures.text import Stack, TokenFront
from perfsim.graph import GraphBuilder, OperatorGraph
from perfsim.ops import Elementwise, Linear, Select
from perfsim.quantities.dtypes import DTYPES

__all__ = ["EncoderModel"]


@dataclass(frozen=True)
class EncoderModel(Model):
    """A transformer that reads a text at once and gives features of every token, and of the first one if ``pooler``.

    front: tables; layers; pooler: a projection of the first token with tanh; others as for every model. Heads for a
    task are not part of it.

    References
    ----------
    .. [1] J. Devlin et al., "BERT", arXiv 1810.04805.
    """

    name: str
    front: TokenFront
    stack: Stack
    pooler: bool = True
    dtype: str | None = None
    context_limit: int | None = None
    remarks: tuple[str, ...] = ()

    family = "text encoder"
    usual_task = "single-pass"
    conventions = (
        "attention counts every (query, key) pair, padding included",
        "embedding rows are gathered, never read as a whole; each weight is stored once and read once per pass",
        "parameters and work are those of the encoder with its pooler; a head for a task comes on top",
    )

    def shape(self) -> dict[str, int]:
        return {"layers": self.stack.count, "hidden": self.front.hidden}

    @cached_property
    def parameters(self) -> int:
        """All stored parameters [1]."""
        fp16 = DTYPES["fp16"]
        return int(self.graph(Step(1, 1, 1, fp16, fp16, fp16)).parameters)

    def graph(self, step: Step) -> OperatorGraph:
        """The graph of one pass over (batch, tokens)."""
        b = GraphBuilder()
        x, _ = self.front.build(b, step, step.tokens, "")
        x = self.stack.encode(b, step, x)
        if self.pooler:
            hidden = self.front.hidden
            first = b.add(Select, "pooler.first", (x,))
            weight = b.weight("pooler.weight", (hidden, hidden), step.weight_dtype)
            y = b.add(Linear, "pooler", (first, weight))
            bias = b.weight("pooler.bias", (hidden,), step.weight_dtype)
            y = b.add(Elementwise, "pooler_bias", (y, bias), function="bias")
            b.add(Elementwise, "pooler.tanh", (y,), function="tanh")
        return b.build()
