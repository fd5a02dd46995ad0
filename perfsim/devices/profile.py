"""Profiles: named sets of quantities, each with its source. Devices and stacks are profiles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from perfsim.errors import InputError, UnitError, UnknownNameError
from perfsim.quantities.dimensions import Dimension
from perfsim.quantities.numbers import Number, varies
from perfsim.quantities.units import format_quantity, parse_as

__all__ = ["LEAST", "MOST", "Datum", "Profile"]

P = TypeVar("P", bound="Profile")
_SCALE = re.compile(r"x(\d+\.?\d*|\.\d+)$")

LEAST, MOST = 1e-30, 1e30
"""Range of a quantity in SI units; beyond it lies nothing physical, only overflow."""


@dataclass(frozen=True, eq=False)
class Datum:
    """One quantity of a profile.

    value: SI number; dimension: its dimension; source: key into the profile's sources; status: ``vendor``,
    ``measured``, ``derived``, ``fitted``, ``model``, ``unverified`` or ``what-if``; note: remark; date: when it was so.
    """

    value: Number
    dimension: Dimension
    source: str
    status: str = "vendor"
    note: str = ""
    date: str = ""

    def __str__(self) -> str:
        return "array" if varies(self.value) else format_quantity(self.value, self.dimension)


@dataclass(frozen=True, eq=False)
class Profile:
    """Quantities by path, e.g. ``memory.hbm.bandwidth``, and what is known about them.

    key: file stem; name: for people; data: path → :class:`Datum`; info: texts by path (vendor, class,
    technology ...); sources: source key → title; notes: remarks.
    """

    key: str
    name: str
    data: Mapping[str, Datum]
    info: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    kind = "profile"

    def resolve(self, path: str) -> str:
        """The path in the data that ``path`` stands for; subclasses know aliases."""
        return path

    def get(self, path: str, default: Number = None) -> Number:
        """Value at ``path`` in SI units, or ``default``."""
        datum = self.data.get(path)
        return default if datum is None else datum.value

    def paths(self, prefix: str) -> Iterator[tuple[str, Datum]]:
        """Data below ``prefix.``, with the prefix cut off."""
        for path, datum in self.data.items():
            if path.startswith(prefix + "."):
                yield path[len(prefix) + 1 :], datum

    def datum(self, path: str) -> Datum:
        """The datum at ``path``.

        Raises
        ------
        UnknownNameError
            if the profile has no such quantity.
        """
        full = self.resolve(path)
        if full not in self.data:
            raise UnknownNameError(f"quantity of {self.kind} {self.key}", path, self.data)
        return self.data[full]

    def replace(self: P, **changes: Any) -> P:
        """A copy with some quantities changed; ``replace(**{"memory.hbm.bandwidth": "3 TB/s"})``.

        A text carries its unit, ``"x2"`` scales the present value, a number or array is taken as SI.

        Raises
        ------
        UnknownNameError, UnitError, InputError
            for an unknown path, a wrong dimension, or a value that is not positive.
        """
        data = dict(self.data)
        for path, value in changes.items():
            old = self.datum(path)
            try:
                new = _changed(old, value)
            except UnitError as error:
                raise UnitError(f"{self.kind}.{path}: {error}") from None
            if not varies(new) and not new >= 0:
                raise InputError(f"{self.kind}.{path}: {value!r} is negative, expected a value of at least 0")
            if not varies(new) and new and not LEAST <= new <= MOST:
                raise InputError(
                    f"{self.kind}.{path}: {value!r} is out of range, expected {LEAST:g} to {MOST:g} in SI units"
                )
            if not varies(new) and new == 0 and old.value and self.must_be_positive(self.resolve(path)):
                raise InputError(f"{self.kind}.{path}: {value!r} is zero, expected a value above 0")
            data[self.resolve(path)] = replace(old, value=new, source="what-if", status="what-if", note="")
        return replace(self, data=data, sources={**self.sources, "what-if": "set by the user"})

    def must_be_positive(self, path: str) -> bool:
        """Whether zero would make a division by zero: rates, capacities and efficiencies."""
        return not path.rsplit(".", 1)[-1].startswith(("latency", "idle", "kernel_launch", "host", "collective"))


def _changed(old: Datum, value: Any) -> Number:
    if isinstance(value, str):
        scale = _SCALE.fullmatch(value.strip())
        if scale:
            return old.value * float(scale[1])
        return parse_as(value, old.dimension)
    if isinstance(value, bool) or not (isinstance(value, int | float) or varies(value)):
        raise UnitError(f'{value!r} is {type(value).__name__}, expected a text such as "{old}" or "x2"')
    return value
