"""Whether a rewrite left a graph as it was, by content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["same"]

_PLAIN = (str, int, float, bool, type(None))


def same(one: Any, other: Any) -> bool:
    """Whether two parts of a plan say the same: objects by their fields, numbers by their value.

    Arrays, symbols and recorded quantities are the same only if they are one object, so nothing is computed with them.
    What is rebuilt from equal arrays thus counts as changed.
    """
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, _PLAIN):
        return bool(one == other)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    fields = getattr(type(one), "__dataclass_fields__", None)
    return fields is not None and all(same(getattr(one, name), getattr(other, name)) for name in fields)
