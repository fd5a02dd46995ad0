"""Conversion of an attention to one that caches a latent vector."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import Attention, DecoderModel, LatentAttention, LayerGroup, Model
from perfsim.techniques.base import Context, ModelRewrite, parameter

__all__ = ["LatentConversion"]


@dataclass(frozen=True, kw_only=True)
class LatentConversion(ModelRewrite):
    """Keys and values of all heads are made from one latent of ``rank`` numbers, which alone is cached.

    ``rope_dim`` entries of a head carry the position and have one key for all heads; the others and the values come
    from the latent. The cache is rank + rope_dim numbers per position instead of 2·kv_heads·head_dim. A prompt expands
    the latents, a decode step absorbs the expansion into queries and outputs: more arithmetic per cached byte. The
    projections of keys and values become a factored pair, so parameters may shrink or grow. Biases, norms of queries
    and keys, and sinks of the old attention are dropped; the fine-tuning that makes up for it is not counted.

    References
    ----------
    .. [1] F. Meng et al., "TransMLA", arXiv 2502.07864. [2] T. Ji et al., "MHA2MLA", arXiv 2502.14837.
    """

    rank: int = parameter(512, "numbers of the latent of a position", least=1, most=10**6)
    rope_dim: int = parameter(32, "entries of a head that carry the position", least=0, most=65536)

    name = "latent-conversion"
    reference = "arXiv 2502.07864"

    def refuses(self, model: Model, context: Context) -> str | None:
        mixers = [g.attention for g in getattr(model, "groups", ()) if isinstance(g.attention, Attention)]
        if not isinstance(model, DecoderModel) or not mixers:
            return "it has no key/value heads to convert"
        for mixer in mixers:
            if mixer.window is not None:
                return "its attention has a window, which latent attention has not"
            if self.rope_dim >= mixer.head_dim:
                return f"rope_dim={self.rope_dim} leaves nothing of head_dim {mixer.head_dim}; use less"
        return None

    def remodelled(self, model: Model, context: Context) -> Model:
        assert isinstance(model, DecoderModel)
        return replace(model, groups=tuple(self._converted(group) for group in model.groups))

    def _converted(self, group: LayerGroup) -> LayerGroup:
        old = group.attention
        if not isinstance(old, Attention):
            return group
        latent = LatentAttention(
            old.heads, None, self.rank, old.head_dim - self.rope_dim, self.rope_dim, old.head_dim, old.output_bias
        )
        return replace(group, attention=latent)
