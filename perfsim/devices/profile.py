"""Profiles: named sets of quantities, each with its source. Devices and stacks are profiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from perfsim.devices.limits import check_value
from perfsim.errors import UnitError, UnknownNameError
from perfsim.quantities.dimensions import Dimension
from perfsim.quantities.numbers import Number, plain, varies
from perfsim.quantities.units import factor_of, format_quantity, parse_as

__all__ = ["Datum", "Profile"]

P = TypeVar("P", bound="Profile")


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
            for an unknown path, a wrong dimension, or a value out of range (:mod:`perfsim.devices.limits`).
        """
        data = dict(self.data)
        for path, value in changes.items():
            old = self.datum(path)
            try:
                new = _changed(old, value)
            except UnitError as error:
                raise UnitError(f"{self.kind}.{path}: {error}") from None
            full = self.resolve(path)
            if not varies(new):
                zero = not old.value or not self.must_be_positive(full)
                check_value(f"{self.kind}.{path}", full, value, new, zero=zero)
            data[full] = replace(old, value=new, source="what-if", status="what-if", note="")
        return replace(self, data=data, sources={**self.sources, "what-if": "set by the user"})

    def must_be_positive(self, path: str) -> bool:
        """Whether zero would make a division by zero: rates, capacities and efficiencies."""
        return not path.rsplit(".", 1)[-1].startswith(("latency", "idle", "kernel_launch", "host", "collective"))


def _changed(old: Datum, value: Any) -> Number:
    if isinstance(value, str):
        factor = factor_of(value)
        if factor is not None:
            return old.value * factor
        return parse_as(value, old.dimension)
    value = plain(value)
    if isinstance(value, bool) or not (isinstance(value, int | float) or varies(value)):
        raise UnitError(f'{value!r} is {type(value).__name__}, expected a text such as "{old}" or "x2"')
    return value
