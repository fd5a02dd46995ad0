"""Sliding windows in place of full attention."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import Attention, DecoderModel, LayerGroup, Model
from perfsim.techniques.base import Context, ModelRewrite, parameter

__all__ = ["SlidingWindow"]


@dataclass(frozen=True, kw_only=True)
class SlidingWindow(ModelRewrite):
    """``share`` of the layers see, and keep, only the last ``window`` positions (attention sinks among them).

    Cache and traffic of those layers stop growing at the window, in decode and in the prompt. Below the window nothing
    changes. Layers with a shorter window keep it.

    References
    ----------
    .. [1] G. Xiao et al., "Efficient Streaming Language Models with Attention Sinks", arXiv 2309.17453.
    """

    window: int = parameter(1024, "positions that a query sees, itself included", least=1, most=10**9)
    share: float = parameter(1.0, "layers with a window over all", least=0.0, most=1.0)

    name = "sliding-window"
    reference = "arXiv 2309.17453"
    neutral = {"share": 0.0}
    idempotent = False

    def refuses(self, model: Model, context: Context) -> str | None:
        found = isinstance(model, DecoderModel) and any(isinstance(g.attention, Attention) for g in model.groups)
        return None if found else "it has no attention with keys and values per position"

    def remodelled(self, model: Model, context: Context) -> Model:
        assert isinstance(model, DecoderModel)
        return replace(model, groups=tuple(part for group in model.groups for part in self._parts(group)))

    def _parts(self, group: LayerGroup) -> tuple[LayerGroup, ...]:
        """The layers with a window first: the order does not enter a prediction."""
        mixer, local = group.attention, round(group.count * self.share)
        if not isinstance(mixer, Attention) or (mixer.window or self.window + 1) <= self.window or not local:
            return (group,)
        windowed = replace(group, count=local, attention=replace(mixer, window=self.window))
        if local == group.count:
            return (windowed,)
        rest = replace(group, name=f"{group.name}.full", count=group.count - local)
        return (replace(windowed, name=f"{group.name}.local"), rest)
