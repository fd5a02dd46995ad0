"""From the tables of a TOML to quantities; every refusal names file, field, what was given and expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from perfsim.catalog.files import shown
from perfsim.catalog.schema import STATUSES
from perfsim.devices import Datum
from perfsim.devices.limits import LEAST, MOST
from perfsim.errors import CatalogError, UnitError
from perfsim.quantities.dimensions import DIMENSIONLESS, Dimension
from perfsim.quantities.units import Quantity, parse

__all__ = ["Fields", "read_data"]

Dimensions = Callable[[str], tuple[Dimension, ...]]
_QUANTITY_TEXTS = ("source", "status", "note", "provider", "instance", "date", "kind", "name")
_PRICE_TEXTS = ("provider", "instance", "date", "kind", "note")


class Fields:
    """Typed access to the plain fields of one TOML, with errors that say where."""

    def __init__(self, table: Mapping[str, Any], path: Path) -> None:
        self.table = table
        self.file = shown(path)

    def fail(self, field: str, message: str) -> CatalogError:
        """The error to raise for ``field``."""
        return CatalogError(f"{self.file}: {field}: {message}")

    def text(self, field: str, default: str | None = None) -> str:
        """A text field; required unless there is a default."""
        value = self.table.get(field, default)
        if not isinstance(value, str):
            given = "is missing" if value is None else f"is {value!r}"
            raise self.fail(field, f"{given}, expected a text")
        return value

    def texts(self, field: str) -> tuple[str, ...]:
        """A list of texts, empty by default."""
        value = self.table.get(field, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.fail(field, f"is {value!r}, expected a list of texts")
        return tuple(value)

    def flag(self, field: str) -> bool:
        """A truth value, false by default."""
        value = self.table.get(field, False)
        if not isinstance(value, bool):
            raise self.fail(field, f"is {value!r}, expected true or false")
        return value

    def tables(self, field: str) -> list[dict[str, Any]]:
        """A list of tables, empty by default."""
        value = self.table.get(field, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.fail(field, f"is {value!r}, expected [[{field}]] tables")
        return value

    def section(self, field: str) -> Mapping[str, Any]:
        """A table, empty by default."""
        value = self.table.get(field, {})
        if not isinstance(value, dict):
            raise self.fail(field, f"is {value!r}, expected a table")
        return value

    def sources(self) -> dict[str, str]:
        """Titles of the sources by key."""
        titles: dict[str, str] = {}
        for key, entry in self.section("sources").items():
            if not isinstance(entry, dict) or not isinstance(entry.get("title"), str):
                raise self.fail(f"sources.{key}", 'expected a table with a title, e.g. { title = "data sheet" }')
            titles[key] = entry["title"]
        return titles


def read_data(
    table: Mapping[str, Any], fields: Fields, dimensions: Dimensions, sources: Mapping[str, str], prefix: str = ""
) -> tuple[dict[str, Datum], dict[str, Any]]:
    """Split a (nested) table into quantities by path, and all other entries by path.

    A quantity is a table with ``value``. Everything else that is not a table is information.
    """
    data: dict[str, Datum] = {}
    info: dict[str, Any] = {}
    for key, entry in table.items():
        path = f"{prefix}.{key}" if prefix else key
        if isinstance(entry, dict) and "value" in entry:
            data[path] = _datum(path, entry, fields, dimensions(path), sources)
        elif isinstance(entry, dict):
            more_data, more_info = read_data(entry, fields, dimensions, sources, path)
            data |= more_data
            info |= more_info
        elif dimensions(path):
            raise fields.fail(path, f'is {entry!r}, expected a table such as {{ value = "...", source = "..." }}')
        else:
            info[path] = entry
    return data, info


def _datum(
    path: str, entry: Mapping[str, Any], fields: Fields, allowed: tuple[Dimension, ...], sources: Mapping[str, str]
) -> Datum:
    if not allowed:
        raise fields.fail(path, "no quantity is known by this name; see docs/adding-things.md for the known ones")
    for key in _QUANTITY_TEXTS:
        if key in entry and not isinstance(entry[key], str):
            raise fields.fail(f"{path}.{key}", f"is {entry[key]!r}, expected a text")
    quantity = _quantity(path, entry["value"], fields)
    if quantity.dimension not in allowed and quantity.value != 0:
        expected = " or ".join(str(d) for d in allowed)
        raise fields.fail(path, f'"{entry["value"]}" is {quantity.dimension}, expected {expected}')
    source = entry.get("source")
    if source is None:
        raise fields.fail(path, 'has no source, expected source = "<key below [sources]>"')
    for key in (source, *_also(path, entry, fields)):
        if key not in sources:
            raise fields.fail(
                path, f'source "{key}" is not listed below [sources]; known: {", ".join(sources) or "none"}'
            )
    status = entry.get("status", "vendor")
    if status not in STATUSES:
        raise fields.fail(f"{path}.status", f'is "{status}", expected one of {", ".join(STATUSES)}')
    note = ", ".join(entry[key] for key in _PRICE_TEXTS if entry.get(key))
    dimension = quantity.dimension if quantity.dimension in allowed else allowed[0]
    return Datum(quantity.value, dimension, source, status, note, entry.get("date", ""))


def _also(path: str, entry: Mapping[str, Any], fields: Fields) -> list[str]:
    also = entry.get("also", [])
    if not isinstance(also, list) or not all(isinstance(key, str) for key in also):
        raise fields.fail(f"{path}.also", f"is {also!r}, expected a list of source keys")
    return also


def _quantity(path: str, value: Any, fields: Fields) -> Quantity:
    if isinstance(value, int | float) and not isinstance(value, bool):
        quantity = Quantity(value, DIMENSIONLESS)
    elif isinstance(value, str):
        try:
            quantity = parse(value)
        except UnitError as error:
            raise fields.fail(path, str(error)) from None
    else:
        raise fields.fail(path, f'is {value!r}, expected a text with a unit, e.g. "3.35 TB/s"')
    if not 0 <= quantity.value < math.inf:
        raise fields.fail(path, f"is {value!r}, expected a finite value of at least 0")
    if not (quantity.value == 0 or LEAST <= quantity.value <= MOST):
        raise fields.fail(path, f"is {value!r}, expected 0 or a value from {LEAST:g} to {MOST:g} in SI units")
    return quantity
