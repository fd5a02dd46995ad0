"""How many experts a token uses, and how many there are."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import DecoderModel, Model
from perfsim.architectures.mlp import MixtureOfExperts
from perfsim.techniques.base import Context, ModelRewrite, parameter
from perfsim.techniques.structure.pruning import kept_units

__all__ = ["ExpertPruning", "ExpertTopK", "mixtures", "with_mixtures"]


def mixtures(model: Model) -> list[MixtureOfExperts]:
    """The different mixtures of experts in a model's layers."""
    if not isinstance(model, DecoderModel):
        return []
    return [group.mlp for group in model.groups if isinstance(group.mlp, MixtureOfExperts)]


def with_mixtures(model: Model, **changes: object) -> Model:
    """The model with some fields of all its mixtures changed."""
    assert isinstance(model, DecoderModel)
    groups = (
        replace(g, mlp=replace(g.mlp, **changes)) if isinstance(g.mlp, MixtureOfExperts) else g  # type: ignore[arg-type]
        for g in model.groups
    )
    return replace(model, groups=tuple(groups))


@dataclass(frozen=True, kw_only=True)
class ExpertTopK(ModelRewrite):
    """Tokens use ``top_k`` experts on average, which may be a fraction where the number depends on the token.

    Work and, as long as few tokens touch few experts, bytes follow: with independent uniform routing an expert stays
    untouched by a token with probability 1 − k̄/experts whatever the distribution of k, so that the expected number of
    experts touched by n tokens, experts·(1 − (1 − k̄/experts)^n), needs the mean k̄ only. The router costs as before.

    References
    ----------
    .. [1] Q. Huang et al., "Harder Tasks Need More Experts: Dynamic Routing in MoE Models", arXiv 2403.07652.
    """

    top_k: float = parameter(1.0, "experts per token on average; 0 leaves what the model has", least=0.0, most=1024)

    name = "expert-top-k"
    reference = "arXiv 2403.07652"
    neutral = {"top_k": 0.0}

    def refuses(self, model: Model, context: Context) -> str | None:
        found = mixtures(model)
        if not found:
            return "it has no experts"
        if self.top_k and not 1 <= self.top_k <= min(m.experts for m in found):
            return f"top_k={self.top_k:g} is not between 1 and its {min(m.experts for m in found)} experts"
        return None

    def remodelled(self, model: Model, context: Context) -> Model:
        if not self.top_k:
            return model
        whole = int(self.top_k) if self.top_k == int(self.top_k) else self.top_k
        return with_mixtures(model, top_k=whole)


@dataclass(frozen=True, kw_only=True)
class ExpertPruning(ModelRewrite):
    """A ``share`` of the experts of every layer stays; tokens choose among these, as many as before.

    Memory shrinks with the share; the work per token does not. The bytes of a step shrink only once its tokens touch
    most experts, so at batch 1 pruned experts save no time.

    References
    ----------
    .. [1] X. Lu et al., "Not All Experts are Equal", arXiv 2402.14800.
    """

    share: float = parameter(0.5, "experts that stay, over all of a layer", least=0.001, most=1.0)

    name = "expert-pruning"
    reference = "arXiv 2402.14800"
    idempotent = False
    neutral = {"share": 1.0}

    def refuses(self, model: Model, context: Context) -> str | None:
        return None if mixtures(model) else "it has no experts"

    def remodelled(self, model: Model, context: Context) -> Model:
        assert isinstance(model, DecoderModel)
        groups = (
            replace(g, mlp=replace(g.mlp, experts=max(g.mlp.top_k, kept_units(g.mlp.experts, self.share))))
            if isinstance(g.mlp, MixtureOfExperts)
            else g
            for g in model.groups
        )
        return replace(model, groups=tuple(groups))
