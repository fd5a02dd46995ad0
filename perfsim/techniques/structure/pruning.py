"""Structured pruning: fewer layers, heads, feed-forward neurons or channels, in dense networks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import Attention, DecoderModel, EncoderModel, Model
from perfsim.architectures.vision.model import VisionModel
from perfsim.techniques.base import Context, ModelRewrite, parameter
from perfsim.techniques.quantization.selection import leading_layers

__all__ = ["StructuredPruning", "kept_units", "pruned_layers"]


def kept_units(total: int, share: float, multiple: int = 1) -> int:
    """The share of ``total`` units nearest to a multiple of ``multiple``, at least one of it and at most all [1]."""
    return min(total, max(1, round(total * share / multiple)) * multiple)


@dataclass(frozen=True, kw_only=True)
class StructuredPruning(ModelRewrite):
    """A smaller dense network: whole ``layers``, attention ``heads`` and feed-forward neurons (``ffn``) are cut out.

    Of a vision network ``channels`` of every layer and ``layers`` of every stage stay. What stays is dense, so every
    kernel runs at its usual rate and both bytes and operations shrink; grouped heads lose whole groups, so that the
    cache shrinks alike; inner widths stay multiples of ``multiple``, as matrix units want. Nothing is indexed or
    gathered. Fewer experts, or fewer of them per token, are techniques of their own; neurons of experts are cut, too.

    References
    ----------
    .. [1] X. Ma et al., "LLM-Pruner", arXiv 2305.11627. [2] S. Muralidharan et al., "Minitron", arXiv 2407.14679.
    """

    layers: float = parameter(1.0, "layers that stay, over all", least=0.01, most=1.0)
    heads: float = parameter(1.0, "groups of attention heads that stay, over all", least=0.01, most=1.0)
    ffn: float = parameter(1.0, "feed-forward neurons that stay, over all", least=0.001, most=1.0)
    channels: float = parameter(1.0, "channels of a vision network that stay, over all", least=0.01, most=1.0)
    multiple: int = parameter(8, "feed-forward widths are rounded to it", least=1, most=1024)

    name = "structured-pruning"
    reference = "arXiv 2305.11627"
    idempotent = False
    neutral = {"layers": 1.0, "heads": 1.0, "ffn": 1.0, "channels": 1.0}

    def refuses(self, model: Model, context: Context) -> str | None:
        if isinstance(model, VisionModel):
            inner = min(self.heads, self.ffn) < 1
            return "it has channels, not heads or ffn; use channels and layers" if inner else None
        if not isinstance(model, DecoderModel | EncoderModel):
            return f"pruning knows decoders, encoders and vision networks, not a {model.family}"
        return "a language model has no channels; use layers, heads and ffn" if self.channels < 1 else None

    def remodelled(self, model: Model, context: Context) -> Model:
        if isinstance(model, VisionModel):
            return model.scaled(width=self.channels, depth=self.layers)
        if isinstance(model, EncoderModel):
            return self._encoder(model)
        assert isinstance(model, DecoderModel)
        return pruned_layers(self._narrow(model), self.layers)

    def _encoder(self, model: EncoderModel) -> EncoderModel:
        stack = model.stack
        heads = kept_units(stack.attention.heads, self.heads)
        smaller = replace(
            stack, count=kept_units(stack.count, self.layers), attention=replace(stack.attention, heads=heads),
            mlp=replace(stack.mlp, width=self._width(stack.mlp.width)),
        )  # fmt: skip
        return replace(model, stack=smaller)

    def _narrow(self, model: DecoderModel) -> DecoderModel:
        groups = []
        for group in model.groups:
            attention, mlp = group.attention, group.mlp
            if isinstance(attention, Attention):
                attention = self._fewer_heads(attention)
            groups.append(replace(group, attention=attention, mlp=mlp and replace(mlp, width=self._width(mlp.width))))
        return replace(model, groups=tuple(groups))

    def _fewer_heads(self, attention: Attention) -> Attention:
        """Whole groups of heads; single heads where all of them share one key/value head."""
        shared, kept = attention.heads // attention.kv_heads, kept_units(attention.kv_heads, self.heads)
        if attention.kv_heads == 1:
            shared = kept_units(shared, self.heads)
        return replace(attention, heads=kept * shared, kv_heads=kept)

    def _width(self, neurons: int) -> int:
        return neurons if self.ffn == 1 else kept_units(neurons, self.ffn, self.multiple)


def pruned_layers(model: DecoderModel, share: float) -> DecoderModel:
    """The model with the first ``share`` of its layers; groups that lose all of them are left out."""
    counts = leading_layers([group.count for group in model.groups], share)
    if not any(counts):
        counts[0] = 1
    groups = (replace(group, count=count) for group, count in zip(model.groups, counts, strict=True) if count)
    return replace(model, groups=tuple(groups))
