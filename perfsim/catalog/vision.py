"""From the ``[vision]`` table of a model TOML to a network; refusals name file, field, what was given and expected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, get_args, get_origin, get_type_hints

from perfsim.architectures.vision import VISION_FAMILIES, VisionModel
from perfsim.catalog.reader import Fields
from perfsim.errors import UnknownNameError

__all__ = ["vision_model"]

_OWN = ("name", "dtype", "context_limit", "remarks")
"""Fields that a table does not state."""

_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
_MOST = 10**6
"""Largest number that a field may hold: no network has more channels, layers or pixels per side."""


def vision_model(table: Mapping[str, Any], name: str, file: Fields) -> VisionModel:
    """The network that a ``[vision]`` table describes.

    Raises
    ------
    CatalogError, UnknownNameError, ConfigError
        for an unknown family or field, a missing field, or a value of the wrong kind.
    """
    family = table.get("family")
    if not isinstance(family, str):
        raise file.fail("vision.family", f"is {family!r}, expected one of {', '.join(VISION_FAMILIES)}")
    if family not in VISION_FAMILIES:
        raise UnknownNameError(f"family in {file.file}: vision.family", family, VISION_FAMILIES)
    kind = VISION_FAMILIES[family]
    hints = get_type_hints(kind)
    known = {kind.size_field if f.name == "image_size" else f.name: f for f in fields(kind) if f.name not in _OWN}
    for key in table:
        if key != "family" and key not in known:
            raise UnknownNameError(f"field of family {family} in {file.file}: vision", key, known)
    stated = {}
    for key, field in known.items():
        if key in table:
            stated[field.name] = _value(table[key], hints[field.name], f"vision.{key}", file)
        elif field.default is MISSING:
            raise file.fail(f"vision.{key}", f"is missing, expected {_expected(hints[field.name])}")
    for key, allowed in kind.choices:
        if stated.get(key, allowed[0]) not in allowed:
            raise file.fail(f"vision.{key}", f'is "{stated[key]}", expected one of {", ".join(allowed)}')
    return kind(name=name, **stated)


def _value(value: Any, hint: Any, field: str, file: Fields) -> Any:
    """``value`` as the type of the dataclass field; lists become tuples."""
    if get_origin(hint) is tuple:
        if not isinstance(value, list) or not value:
            raise file.fail(field, f"is {value!r}, expected {_expected(hint)}")
        return tuple(_value(item, get_args(hint)[0], f"{field}[{index}]", file) for index, item in enumerate(value))
    right = isinstance(value, int | float) if hint is float else isinstance(value, hint)
    if not right or (isinstance(value, bool) and hint is not bool):
        raise file.fail(field, f"is {value!r}, expected {_expected(hint)}")
    if hint in (int, float) and not (math.isfinite(value) and 0 <= value <= _MOST):
        raise file.fail(field, f"is {value!r}, expected 0 to {_MOST}")
    return float(value) if hint is float else value


def _expected(hint: Any) -> str:
    if get_origin(hint) is tuple:
        return f"a list, each item {_expected(get_args(hint)[0])}"
    return _NAMES[hint]
