"""All techniques by name, found by looking at the modules of this room."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from inspect import getfile, isabstract
from types import MappingProxyType
from typing import Any

from perfsim import techniques
from perfsim.errors import InputError, UnknownNameError, checked_type
from perfsim.techniques.base import Technique

__all__ = ["parse_technique", "resolve_techniques", "technique_classes"]


@lru_cache(maxsize=1)
def technique_classes() -> Mapping[str, type[Technique]]:
    """Every technique by its name.

    Raises
    ------
    InputError
        if two techniques have one name; the message names both files.
    """
    for module in pkgutil.walk_packages(techniques.__path__, f"{techniques.__name__}."):
        importlib.import_module(module.name)
    found: dict[str, type[Technique]] = {}
    waiting = list(Technique.__subclasses__())
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if isabstract(kind):
            continue
        if kind.name in found and found[kind.name] is not kind:
            raise InputError(f'two techniques are named "{kind.name}": {getfile(found[kind.name])} and {getfile(kind)}')
        found[kind.name] = kind
    return MappingProxyType(dict(sorted(found.items())))


def parse_technique(text: str) -> Technique:
    """A technique from ``name:key=value,key=value``.

    Raises
    ------
    UnknownNameError, InputError
        for an unknown name or parameter, or a value outside its range.
    """
    name, _, settings = text.partition(":")
    classes = technique_classes()
    if name not in classes:
        raise UnknownNameError("technique", name, classes, "List them with: perfsim techniques")
    kind = classes[name]
    known = {f.name: f for f in fields(kind)}
    values: dict[str, Any] = {}
    for setting in filter(None, settings.split(",")):
        key, equals, value = setting.partition("=")
        if not equals or key not in known:
            expected = ", ".join(f"{n}=..." for n in known) or "no parameters"
            raise InputError(f'technique {name}: "{setting}" is not a parameter; expected {expected}')
        if key in values:
            raise InputError(f"technique {name}: {key} is stated twice; state it once")
        values[key] = _value(name, key, value, known[key].default)
    return kind(**values)


def _value(name: str, key: str, text: str, default: Any) -> Any:
    if isinstance(default, str):
        return text
    try:
        return int(text) if isinstance(default, int) else float(text)
    except ValueError:
        kind = "whole number" if isinstance(default, int) else "number"
        raise InputError(f'technique {name}: {key}="{text}", expected a {kind}') from None


def resolve_techniques(using: Iterable[str | Technique]) -> tuple[Technique, ...]:
    """Techniques from objects and texts, in order.

    Raises
    ------
    InputError
        for anything else.
    """
    if isinstance(using, str):
        raise InputError(f'using="{using}": expected a list, e.g. using=["{using}"]')
    checked_type("using", using, Iterable, 'a list, e.g. using=["weight-quantization:bits=4"]')
    result = []
    for item in using:
        if not isinstance(item, str | Technique):
            raise InputError(
                f"using: {item!r} is {type(item).__name__}, expected a technique or a text such as name:key=value"
            )
        result.append(parse_technique(item) if isinstance(item, str) else item)
    return tuple(result)
