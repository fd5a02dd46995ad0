"""Fewer key/value heads: grouped-query and multi-query attention."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import Attention, DecoderModel, LayerGroup, Model
from perfsim.techniques.base import Context, ModelRewrite, parameter

__all__ = ["GroupedQueries"]


@dataclass(frozen=True, kw_only=True)
class GroupedQueries(ModelRewrite):
    """Every layer has at most ``kv_heads`` heads of keys and values, each shared by a group of query heads.

    Cache, its traffic, and the projections of keys and values shrink by the same factor; the arithmetic of attention
    stays. With 1 it is multi-query attention. The training that makes up for the loss is not counted.

    References
    ----------
    .. [1] J. Ainslie et al., "GQA", arXiv 2305.13245. [2] N. Shazeer, arXiv 1911.02150.
    """

    kv_heads: int = parameter(1, "key/value heads of a layer, unless it has fewer", least=1, most=65536)

    name = "grouped-queries"
    reference = "arXiv 2305.13245"
    neutral = {"kv_heads": 65536}

    def refuses(self, model: Model, context: Context) -> str | None:
        if not isinstance(model, DecoderModel) or not any(isinstance(g.attention, Attention) for g in model.groups):
            return "it has no key/value heads to merge"
        for group in model.groups:
            mixer = group.attention
            if isinstance(mixer, Attention) and self.kv_heads < mixer.kv_heads and mixer.heads % self.kv_heads:
                return f"{mixer.heads} query heads cannot share kv_heads={self.kv_heads} evenly"
        return None

    def remodelled(self, model: Model, context: Context) -> Model:
        assert isinstance(model, DecoderModel)
        return replace(model, groups=tuple(self._merged(group) for group in model.groups))

    def _merged(self, group: LayerGroup) -> LayerGroup:
        mixer = group.attention
        if not isinstance(mixer, Attention) or mixer.kv_heads <= self.kv_heads:
            return group
        return replace(group, attention=replace(mixer, kv_heads=self.kv_heads))
