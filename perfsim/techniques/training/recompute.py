"""Activations that are computed again instead of saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perfsim.techniques.base import parameter
from perfsim.techniques.training.changed import TrainingChange

__all__ = ["Recompute"]


@dataclass(frozen=True, kw_only=True)
class Recompute(TrainingChange):
    """Forward work of layers is done again before their backward pass, so that less has to be saved.

    ``full`` saves what enters a layer and runs the whole layer again, ``selective`` saves all but what lies between
    queries, keys and the weighted values (nothing where a fused kernel keeps that on the chip). The work comes as a
    phase of its own, ``recompute``: it counts for the hardware's utilisation, not for the model's. One layer's
    activations are there at a time.

    References
    ----------
    .. [1] T. Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174. [2] V. Korthikanti et al.,
       arXiv 2205.05198.
    """

    mode: str = parameter("full", "what is computed again", choices=("none", "selective", "full"))

    name = "recompute"
    reference = "arXiv 1604.06174"
    elsewhere = "nothing is saved for a backward pass"
    neutral = {"mode": "none"}

    def changes(self) -> Mapping[str, Any]:
        return {"recompute": self.mode}
