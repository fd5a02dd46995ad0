"""What a column of a comparison changes, from a text or a mapping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from perfsim.errors import InputError, UnknownNameError, checked_type
from perfsim.prediction.model_scaling import PREFIX
from perfsim.techniques.base import Technique
from perfsim.techniques.registry import technique_classes
from perfsim.workloads import Job

__all__ = ["SETTINGS", "Variant", "read_variant"]

SETTINGS = ("model", "on", "count", "stack", "using", "region", "pue", "offer")
"""What a variant can set, beside fields of the job and what-if paths."""

PATHS = ("device.", "stack.", "link.", PREFIX)

_EXAMPLE = "e.g. device.memory.main.bandwidth=x2 or stack=vllm"


@dataclass(frozen=True)
class Variant:
    """label: for the head of a column; settings: of :data:`SETTINGS` without ``using``; job: fields of the job;
    using: techniques that come behind those of the base; what_if: changed quantities by path.
    """

    label: str
    settings: Mapping[str, Any]
    job: Mapping[str, Any]
    using: tuple[str | Technique, ...]
    what_if: Mapping[str, Any]


def read_variant(given: str | Mapping[str, Any], kind: type[Job]) -> Variant:
    """Read ``"stack=vllm,device.memory.main.bandwidth=x2"`` or the same as a mapping, for a job of ``kind``.

    Raises
    ------
    UnknownNameError, InputError
        for anything that cannot be varied.
    """
    checked_type("variant", given, (str, Mapping), 'a text such as "stack=vllm", or a mapping')
    pairs = _split(given) if isinstance(given, str) else list(given.items())
    if not pairs:
        raise InputError(f"variant {given!r}: is empty, expected {_EXAMPLE.removeprefix('e.g. ')}")
    known = [f.name for f in fields(kind)]
    settings: dict[str, Any] = {}
    job: dict[str, Any] = {}
    what_if: dict[str, Any] = {}
    using: list[str | Technique] = []
    for key, value in pairs:
        if key == "using":
            using += [value] if isinstance(value, str | Technique) else list(value)
            continue
        if not key.startswith(PATHS) and key not in (*SETTINGS, *known):
            raise UnknownNameError("part of a variant", key, [*SETTINGS, *known, *PATHS], _EXAMPLE)
        table = what_if if key.startswith(PATHS) else settings if key in SETTINGS else job
        if key in table:
            raise InputError(f"variant: {key} is stated twice; state it once")
        table[key] = value if table is what_if or not isinstance(given, str) else _number(key, value)
    if not isinstance(settings.get("count", 1), int):
        raise InputError(f"variant: count={settings['count']!r}: expected a whole number of devices, at least 1")
    label = given if isinstance(given, str) else ",".join(f"{key}={value}" for key, value in pairs)
    return Variant(label, settings, job, tuple(using), what_if)


def _number(key: str, text: str) -> Any:
    """A whole number where the key means one."""
    return int(text) if text.isdecimal() and len(text) < 20 and key not in ("model", "on", "stack", "pue") else text


def _split(text: str) -> list[tuple[str, str]]:
    """Pairs of a text; behind ``using=NAME:`` the parameters of that technique belong to it."""
    pairs: list[tuple[str, str]] = []
    own: set[str] = set()
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key or not value:
            raise InputError(f'variant "{text}": "{part.strip()}" is not KEY=VALUE; {_EXAMPLE}')
        if key in own:
            pairs[-1] = ("using", f"{pairs[-1][1]}{',' if '=' in pairs[-1][1] else ':'}{key}={value}")
            continue
        pairs.append((key, value))
        technique = technique_classes().get(value.partition(":")[0]) if key == "using" else None
        own = {f.name for f in fields(technique)} if technique else set()
    return pairs
