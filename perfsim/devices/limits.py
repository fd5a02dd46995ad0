"""Which values a quantity may take, by its path: shares end at 1, counts are whole."""

from __future__ import annotations

import math
from typing import Any

from perfsim.errors import InputError

__all__ = ["LEAST", "MOST", "check_value", "is_share", "is_whole"]

LEAST, MOST = 1e-30, 1e30
"""Range of a quantity in SI units; beyond it lies nothing physical, only overflow."""

_SHARES = ("efficiency", "share", "overlap", "core_contention")
"""Ends of the names of shares: nothing is faster than its roofline, and no more than all of a time is hidden."""

_COUNTS = ("domain", "links", "lanes")
"""Names of what is counted, besides everything below ``units``."""


def is_share(path: str) -> bool:
    """Whether the quantity at ``path`` is a share of something, 0 to 1, e.g. ``dtype.fp8.compute_efficiency``."""
    return path.endswith(_SHARES)


def is_whole(path: str) -> bool:
    """Whether the quantity at ``path`` of a device is a count, e.g. ``units.sm``."""
    return path.startswith("units.") or path.rpartition(".")[2] in _COUNTS


def check_value(where: str, path: str, given: Any, value: float, *, zero: bool) -> None:
    """Refuse a plain value that the quantity at ``path`` cannot have.

    where: how the user names it; given: what was stated; value: that in SI units; zero: whether it may be zero.

    Raises
    ------
    InputError
        with one line.
    """
    if math.isnan(value):
        raise InputError(f"{where}: {given!r} is not a number, expected a value of at least 0")
    if value < 0:
        raise InputError(f"{where}: {given!r} is negative, expected a value of at least 0")
    if value and not LEAST <= value <= MOST:
        raise InputError(f"{where}: {given!r} is out of range, expected {LEAST:g} to {MOST:g} in SI units")
    if value == 0 and not zero:
        raise InputError(f"{where}: {given!r} is zero, expected a value above 0")
    if value > 1 and is_share(path):
        raise InputError(f"{where}: {given!r} makes {value:.4g}, expected at most 1: it is a share of the whole")
    if is_whole(path) and not float(value).is_integer():
        raise InputError(f"{where}: {given!r} makes {value:.6g}, expected a whole number")
