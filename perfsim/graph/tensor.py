"""Tensors: what flows between operators, and what has to be stored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

from perfsim.quantities.dtypes import DType
from perfsim.quantities.numbers import Number

__all__ = ["Placement", "Role", "Tensor"]


class Role(Enum):
    """What a tensor is for; memory is accounted by role, never by name."""

    WEIGHT = "weight"
    ACTIVATION = "activation"
    KV_CACHE = "kv_cache"
    STATE = "state"
    GRADIENT = "gradient"
    OPTIMIZER = "optimizer"
    SAVED = "saved"
    """What the forward pass leaves in memory because the backward pass reads it."""
    GATHERED = "gathered"
    """What lies on the device for the time of one layer only, because it is spread over replicas otherwise."""
    INDEX = "index"
    """Token ids, block tables: inputs that are neither weights nor features."""
    INPUT = "input"
    """What a pass is given from outside, e.g. images; it crosses main memory whatever stays on chip."""


class Placement(Enum):
    """Where a tensor lives while its region runs."""

    MAIN = "main"
    """Main memory of the device: its bytes are traffic of every kernel that touches it."""
    CHIP = "chip"
    """Kept on chip from producer to consumer: no main-memory traffic."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """A named array of numbers.

    name: unique in its graph; shape: sizes, numbers, arrays or symbols; dtype: number format;
    role: what it is for; region: the repeated region that owns one copy per repetition, or ``""``;
    shard: axis that tensor parallelism splits, or None; expert: whether axis 0 counts experts;
    placement: main memory or on chip; view_of: name of the stored tensor whose bytes these are (tied weights).
    """

    name: str
    shape: tuple[Number, ...]
    dtype: DType
    role: Role = Role.ACTIVATION
    region: str = ""
    shard: int | None = None
    expert: bool = False
    placement: Placement = Placement.MAIN
    view_of: str = ""

    @property
    def elements(self) -> Number:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> Number:
        """Size of one copy [byte]."""
        return self.dtype.nbytes(self.elements)

    def replace(self, **changes: Any) -> Tensor:
        """A copy with some fields changed."""
        copy = object.__new__(Tensor)
        copy.__dict__.update(self.__dict__)
        copy.__dict__.update(changes)
        return copy
