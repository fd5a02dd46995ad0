"""Layers that move from the decoder of an encoder-decoder model to its encoder."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import EncoderDecoderModel, Model, Stack
from perfsim.techniques.base import Context, ModelRewrite, parameter

__all__ = ["DecoderToEncoder", "layer_parameters"]


def layer_parameters(*, stack: Stack, hidden: int, across: bool) -> int:
    """Weights of the products of one layer [1]: 4 projections per attention, 2 or 3 of the feed-forward block.

    across: whether the layer attends to an encoder, too.
    """
    attention = 4 * hidden * stack.attention.heads * stack.attention.head_dim
    return attention * (2 if across else 1) + (3 if stack.mlp.gated else 2) * hidden * stack.mlp.width


@dataclass(frozen=True, kw_only=True)
class DecoderToEncoder(ModelRewrite):
    """The decoder keeps ``decoder`` layers; the encoder gets as many parameters as the others had.

    The encoder runs once per input and over all positions at once, the decoder once per token: the same parameters cost
    more arithmetic in the encoder and far fewer serial steps in the decoder.

    References
    ----------
    .. [1] P. Żelasko et al., "Training and Inference Efficiency of Encoder-Decoder Speech Models", arXiv 2503.05931.
    """

    decoder: int = parameter(4, "layers that the decoder keeps, unless it has fewer", least=1, most=10**6)

    name = "decoder-to-encoder"
    reference = "arXiv 2503.05931"
    neutral = {"decoder": 10**6}

    def refuses(self, model: Model, context: Context) -> str | None:
        return None if isinstance(model, EncoderDecoderModel) else "it has no encoder and decoder"

    def remodelled(self, model: Model, context: Context) -> Model:
        assert isinstance(model, EncoderDecoderModel)
        moved = max(model.decoder.count - self.decoder, 0)
        given = layer_parameters(stack=model.decoder, hidden=model.target.hidden, across=True)
        taken = layer_parameters(stack=model.encoder, hidden=model.source.hidden, across=False)
        encoder = replace(model.encoder, count=model.encoder.count + round(moved * given / taken))
        return replace(model, encoder=encoder, decoder=replace(model.decoder, count=model.decoder.count - moved))
