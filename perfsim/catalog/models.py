"""Models: catalogue entries, TOML files of the user, and Hugging Face configurations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from perfsim.architectures import Model
from perfsim.catalog.files import Name, as_text, find, looks_like_path, names, read_toml, shown
from perfsim.catalog.reader import Fields
from perfsim.catalog.vision import vision_model
from perfsim.errors import CatalogError
from perfsim.importers.huggingface import from_config
from perfsim.importers.onnx import read_onnx

__all__ = ["ModelEntry", "model", "model_entry", "model_names"]


@dataclass(frozen=True)
class ModelEntry:
    """A model of the catalogue with its published figures.

    model: what the configuration describes; published: (parameters, source key) or None; active: the same for
    active parameters; config: the table ``[config]`` or ``[vision]``; sources: titles by key; note: remark on the
    count; timm: name of the same network in timm, or None; macs: published multiply-accumulates per image and source
    key; products_only: whether these leave out the norms that timm's tables count; steps: to what the published
    parameters and multiply-accumulates are rounded.
    """

    key: str
    model: Model
    config: dict[str, Any]
    published: tuple[int, str] | None
    active: tuple[int, str] | None
    sources: dict[str, str]
    source: str
    note: str
    timm: str | None = None
    macs: tuple[int, str] | None = None
    products_only: bool = False
    steps: tuple[int, int] = (1, 1)


def model_names() -> tuple[str, ...]:
    """Names of all models of the catalogue."""
    return names("models")


def model(name: Name | Model) -> Model:
    """Model by catalogue name, or path of a model TOML a Hugging Face ``config.json`` or an ONNX file.

    A model passes through.

    Raises
    ------
    UnknownNameError, CatalogError, ConfigError
        if there is no such model, or its file is malformed.
    """
    if isinstance(name, Model):
        return name
    text: str = as_text(name)
    path = find("model", "models", text)
    if text.endswith(".onnx"):
        return read_onnx(path)
    if looks_like_path(text) and not text.endswith(".toml"):
        return _from_json(path)
    return model_entry(text).model


def model_entry(name: Name) -> ModelEntry:
    """Catalogue entry (or model TOML) with its published figures and sources.

    Raises
    ------
    UnknownNameError, CatalogError, ConfigError
        if there is no such model, or its file is malformed.
    """
    text: str = as_text(name)
    path = find("model", "models", text)
    if text.endswith(".onnx"):
        return ModelEntry(path.stem, read_onnx(path), {}, None, None, {}, "", "")
    return _read(path) if looks_like_path(text) else _known(path)


def _from_json(path: Path) -> Model:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CatalogError(f"{path}: not valid JSON: {error or 'nested too deeply'}") from None
    if not isinstance(table, dict):
        raise CatalogError(f"{path}: is a {type(table).__name__}, expected the object of a Hugging Face config.json")
    name = path.parent.name if path.name == "config.json" and path.parent.name else path.stem
    return from_config(table, name, str(path))


@lru_cache(maxsize=512)
def _known(path: Path) -> ModelEntry:
    return _read(path)


def _read(path: Path) -> ModelEntry:
    table = read_toml(path)
    fields = Fields(table, path)
    config, vision = dict(fields.section("config")), dict(fields.section("vision"))
    if not config and not vision:
        raise fields.fail("config", "is missing, expected a table with the keys of a Hugging Face config.json")
    if config and vision:
        raise fields.fail("vision", "stands beside [config], expected one of the two")
    sources = fields.sources()
    source = fields.text("source", "")
    if source and source not in sources:
        raise fields.fail("source", f'"{source}" is not listed below [sources]; known: {", ".join(sources) or "none"}')
    where = f"{shown(path)}: config"
    built = vision_model(vision, path.stem, fields) if vision else from_config(config, path.stem, where)
    macs = _count(fields, sources, "macs")
    return ModelEntry(
        path.stem, built, vision or config, _count(fields, sources, "parameters"),
        _count(fields, sources, "active_parameters"), sources, source, fields.text("parameters_note", ""),
        fields.text("timm", "") or None, macs, macs is not None and fields.table["macs"].get("counts") == "products",
        (_step(fields, "parameters"), _step(fields, "macs")),
    )  # fmt: skip


def _count(fields: Fields, sources: dict[str, str], key: str) -> tuple[int, str] | None:
    entry = fields.table.get(key)
    if entry is None:
        return None
    if not isinstance(entry, dict) or isinstance(entry.get("value"), bool) or not isinstance(entry.get("value"), int):
        raise fields.fail(key, f'is {entry!r}, expected a table such as {{ value = 8030261248, source = "..." }}')
    if entry.get("source") not in sources:
        raise fields.fail(key, f"source {entry.get('source')!r} is not listed below [sources]")
    return entry["value"], entry["source"]


def _step(fields: Fields, key: str) -> int:
    """To what a published count is rounded; 1 unless stated."""
    step = (fields.table.get(key) or {}).get("step", 1)
    if isinstance(step, bool) or not isinstance(step, int) or step < 1:
        raise fields.fail(f"{key}.step", f"is {step!r}, expected a whole number of at least 1")
    return step
