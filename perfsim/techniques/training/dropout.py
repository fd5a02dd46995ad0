"""Dropout, which costs kernels and memory in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perfsim.techniques.training.changed import TrainingChange

__all__ = ["Dropout"]


@dataclass(frozen=True, kw_only=True)
class Dropout(TrainingChange):
    """Attention weights, the sum of the embeddings and the output of every branch are dropped at random.

    Each is a kernel of its own unless the stack fuses it, forward and backward, and saves one byte per element that
    says what was dropped. How many are dropped does not matter. Fused attention drops on the chip, at no cost here.

    References
    ----------
    .. [1] N. Srivastava et al., "Dropout", JMLR 15, 2014. [2] V. Korthikanti et al., arXiv 2205.05198, section 4: the
       masks in the memory of a layer.
    """

    name = "dropout"
    reference = "JMLR 15 (2014) 1929"
    elsewhere = "inference drops nothing"

    def changes(self) -> Mapping[str, Any]:
        return {"dropout": True}
