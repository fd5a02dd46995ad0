"""Using another network for the same job: what a paper that brings a model does."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.architectures import Model
from perfsim.techniques.base import Context, ModelRewrite, parameter

__all__ = ["ReplaceModel"]


@dataclass(frozen=True, kw_only=True)
class ReplaceModel(ModelRewrite):
    """The same job done by another model of the catalogue; other techniques act on that model.

    Quality is not predicted: that the other model is good enough is for the user to declare.
    """

    model: str = parameter("", "catalogue name of the model to use instead; empty keeps the model", unit="name")

    name = "replace-model"
    reference = "the catalogue entry of the other model"
    neutral = {"model": ""}

    def refuses(self, model: Model, context: Context) -> str | None:
        """The other model must do the same job."""
        other = self.remodelled(model, context)
        return None if other.usual_task == model.usual_task else f"{other.name} is a {other.family} with another job"

    def remodelled(self, model: Model, context: Context) -> Model:
        return context.find_model(self.model) if self.model else model
