"""Smaller token tables: fewer rows, narrower rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import DecoderModel, Model
from perfsim.techniques.base import Context, ModelRewrite, parameter
from perfsim.techniques.structure.pruning import kept_units

__all__ = ["EmbeddingPruning", "FactorizedEmbedding"]


@dataclass(frozen=True, kw_only=True)
class EmbeddingPruning(ModelRewrite):
    """A ``share`` of the vocabulary stays: fewer rows in the token table and fewer columns in the head.

    Memory shrinks by the rows; the time of a step by the head alone, since a look-up reads single rows of the table.
    That texts may become longer in tokens is for the user to declare in the job.

    References
    ----------
    .. [1] A. Ushio et al., "Efficient Multilingual Language Model Compression through Vocabulary Trimming",
       arXiv 2305.15020.
    """

    share: float = parameter(0.5, "rows of the token table that stay, over all", least=0.0001, most=1.0)

    name = "embedding-pruning"
    reference = "arXiv 2305.15020"
    idempotent = False
    neutral = {"share": 1.0}

    def refuses(self, model: Model, context: Context) -> str | None:
        return None if isinstance(model, DecoderModel) else f"it is a {model.family}; use a decoder-only language model"

    def remodelled(self, model: Model, context: Context) -> Model:
        assert isinstance(model, DecoderModel)
        return replace(model, vocabulary=kept_units(model.vocabulary, self.share))


@dataclass(frozen=True, kw_only=True)
class FactorizedEmbedding(ModelRewrite):
    """Rows of ``width`` in the token table, and a projection to the width of the model; the head is factored alike.

    vocabulary·width + width·hidden parameters instead of vocabulary·hidden, and one small product more at each end.

    References
    ----------
    .. [1] Z. Lan et al., "ALBERT", arXiv 1909.11942, section 3.1.
    """

    width: int = parameter(128, "width of the rows; 0 leaves the table", least=0, most=10**6)

    name = "factorized-embedding"
    reference = "arXiv 1909.11942"
    neutral = {"width": 0}

    def refuses(self, model: Model, context: Context) -> str | None:
        if not isinstance(model, DecoderModel):
            return f"it is a {model.family}; use a decoder-only language model"
        widest = model.embedding_width or model.hidden
        return f"width={self.width} does not lie below its {widest}" if self.width >= widest else None

    def remodelled(self, model: Model, context: Context) -> Model:
        assert isinstance(model, DecoderModel)
        return replace(model, embedding_width=self.width) if self.width else model
