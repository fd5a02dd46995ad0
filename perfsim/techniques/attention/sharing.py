"""Layers that share one cache of keys and values."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import Attention, DecoderModel, LayerGroup, Model
from perfsim.architectures.shared_attention import SharedAttention
from perfsim.quantities.numbers import ceil_div
from perfsim.techniques.base import Context, ModelRewrite, parameter

__all__ = ["CacheSharing"]


@dataclass(frozen=True, kw_only=True)
class CacheSharing(ModelRewrite):
    """Of every ``sharing`` layers one makes keys and values, the others only queries that look at them.

    The cache and the projections of keys and values shrink by that factor. What attention reads stays: every layer
    reads the shared cache, so that a decode step gains room, not time; a larger batch is how it pays.

    References
    ----------
    .. [1] W. Brandon et al., "Cross-Layer Attention", arXiv 2405.12981. [2] Y. Sun et al., "YOCO", arXiv 2405.05254.
    """

    sharing: int = parameter(2, "layers that share the keys and values of one", least=1, most=4096)

    name = "kv-sharing"
    reference = "arXiv 2405.12981"
    neutral = {"sharing": 1}
    idempotent = False

    def refuses(self, model: Model, context: Context) -> str | None:
        groups = getattr(model, "groups", ())
        if not isinstance(model, DecoderModel) or not any(type(g.attention) is Attention for g in groups):
            return "it has no layers with keys and values of their own"
        return None

    def remodelled(self, model: Model, context: Context) -> Model:
        assert isinstance(model, DecoderModel)
        return replace(model, groups=tuple(part for group in model.groups for part in self._parts(group)))

    def _parts(self, group: LayerGroup) -> tuple[LayerGroup, ...]:
        """The layers that make keys and values first: the order does not enter a prediction."""
        mixer, owners = group.attention, ceil_div(group.count, self.sharing)
        if type(mixer) is not Attention or owners == group.count:
            return (group,)
        own = replace(group, name=f"{group.name}.own", count=owners)
        shared = SharedAttention(**vars(mixer), source=own.name)
        return own, replace(group, name=f"{group.name}.sharing", count=group.count - owners, attention=shared)
