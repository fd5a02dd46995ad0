"""Where the catalogue's files are, and reading one of them."""

from __future__ import annotations

import os
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from perfsim.errors import CatalogError, UnknownNameError, checked_type

__all__ = ["Name", "as_text", "data_root", "find", "looks_like_path", "names", "read_toml", "shown"]

Name: TypeAlias = "str | os.PathLike[str]"
"""A catalogue name, or the path of a file."""

_PACKAGE = Path(__file__).resolve().parent.parent


@lru_cache(maxsize=1)
def data_root() -> Path:
    """Folder that holds ``hardware/``, ``models/`` ...: inside the installed package, or the checkout."""
    installed = _PACKAGE / "_data"
    return installed if installed.is_dir() else _PACKAGE.parent


@lru_cache(maxsize=8)
def _index(folder: str, exclude: tuple[str, ...]) -> dict[str, Path]:
    root = data_root() / folder
    files = sorted(p for p in root.rglob("*.toml") if p.relative_to(root).parts[0] not in exclude)
    table: dict[str, Path] = {}
    for path in files:
        if path.stem in table:
            raise CatalogError(
                f"two files are named {path.stem}: {shown(table[path.stem])} and {shown(path)}; rename one"
            )
        table[path.stem] = path
    return table


def names(folder: str, exclude: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names of all entries of a catalogue folder, sorted; those of the folders ``exclude`` in it do not count."""
    return tuple(sorted(_index(folder, exclude)))


def looks_like_path(name: str) -> bool:
    """Whether ``name`` means a file rather than a catalogue entry."""
    return "/" in name or "\\" in name or name.endswith((".toml", ".json", ".onnx"))


def as_text(name: Any) -> Any:
    """A path object as text that means a file; anything else as it is."""
    if not isinstance(name, os.PathLike):
        return name
    text = os.fspath(name)
    return text if not isinstance(text, str) or looks_like_path(text) else f"./{text}"


def find(kind: str, folder: str, name: Name, exclude: tuple[str, ...] = ()) -> Path:
    """File of a catalogue entry, or the given path itself.

    Raises
    ------
    InputError
        if ``name`` is no text.
    UnknownNameError
        if there is no such entry; CatalogError if there is no such file.
    """
    text: str = as_text(name)
    checked_type(kind, text, str, f"a catalogue name or the path of a file as text, or a {kind.capitalize()}")
    if looks_like_path(text):
        path = Path(text)
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is no regular file" if path.exists() else "no such file"
            raise CatalogError(f"{text}: {what}; expected a {kind} file or a catalogue name")
        return path
    table = _index(folder, exclude)
    if text not in table:
        raise UnknownNameError(kind, text, table, f"List them with: perfsim {kind}s")
    return table[text]


def shown(path: Path) -> str:
    """Path as printed in messages: relative to the catalogue if inside it."""
    try:
        return path.resolve().relative_to(data_root()).as_posix()
    except ValueError:
        return str(path)


def read_toml(path: Path) -> dict[str, Any]:
    """Content of a TOML file.

    Raises
    ------
    CatalogError
        if it cannot be read or is not TOML; the message has file, line and column.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{shown(path)}: not valid TOML: {error}") from None
    except OSError as error:
        raise CatalogError(f"{shown(path)}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CatalogError(f"{shown(path)}: cannot be read: {error}") from None
    except ValueError:  # Python refuses to read integers of more than 4300 digits
        raise CatalogError(f"{shown(path)}: holds a number that is too long; expected at most 4300 digits") from None
    except RecursionError:
        raise CatalogError(f"{shown(path)}: nested too deeply") from None
