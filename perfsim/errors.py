"""Errors of perfsim.

Every message says what was given, what was expected and what to do. The command line prints the
message on one line and leaves with :attr:`PerfsimError.exit_code`.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable

__all__ = [
    "CatalogError", "ConfigError", "GraphError", "InputError", "PerfsimError", "UnitError", "UnknownNameError",
    "checked_type",
]  # fmt: skip


class PerfsimError(Exception):
    """Base of all errors that perfsim raises on purpose."""

    exit_code = 2


class InputError(PerfsimError):
    """An argument lies outside what the function can work with, e.g. ``batch=0``."""


class UnitError(PerfsimError):
    """A quantity cannot be read or has the wrong dimension, e.g. ``"3 GB"`` for a bandwidth."""


class CatalogError(PerfsimError):
    """A TOML of the catalogue is malformed; the message starts with file and field."""


class ConfigError(PerfsimError):
    """A model configuration lacks a key, or describes a model that no family can build."""


class GraphError(PerfsimError):
    """An operator graph breaks a rule, e.g. a tensor has two producers."""


class UnknownNameError(PerfsimError):
    """A name is not in the catalogue; the message lists the closest known names."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        names = sorted(set(known))
        close = [known_name for known_name in names if name and name.lower() in known_name][:3]
        similar = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
        close += [known_name for known_name in similar if known_name not in close][: 3 - len(close)]
        message = f'unknown {kind} "{name}"'
        if close:
            message += f"; did you mean {_choices(close)}?"
        else:
            shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
            message += f"; known: {shown or 'none'}"
        end = "" if message.endswith(("?", ".")) else "."
        super().__init__(message + (f"{end} {hint}" if hint else ""))


def checked_type(name: str, given: object, kinds: type | tuple[type, ...], expected: str) -> None:
    """Refuse an argument of another type.

    Raises
    ------
    InputError
        e.g. ``what_if=3 is int, expected a mapping such as ...``; long values are cut.
    """
    if not isinstance(given, kinds):
        raise InputError(f"{name}={reprlib.repr(given)} is {type(given).__name__}, expected {expected}")


def _choices(names: list[str]) -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]
