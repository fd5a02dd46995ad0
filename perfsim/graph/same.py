"""Whether a rewrite left something as it was, by content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfsim.quantities.numbers import is_array

__all__ = ["same"]

_PLAIN = (str, int, float, bool, type(None))


def same(one: Any, other: Any) -> bool:
    """Whether two parts of a plan say the same: objects by their fields, numbers by their value.

    Symbols and recorded quantities are the same only if they are one object, so nothing is computed with them.
    """
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, _PLAIN):
        return bool(one == other)
    if is_array(one):
        return one.shape == other.shape and one.dtype != object and bool((one == other).all())
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    fields = getattr(type(one), "__dataclass_fields__", None)
    return fields is not None and all(same(getattr(one, name), getattr(other, name)) for name in fields)
