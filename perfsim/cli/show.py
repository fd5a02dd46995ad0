"""``perfsim show``: one entry of the catalogue, each number with its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from perfsim.catalog import device, model_entry, stack
from perfsim.catalog.systems import published_system
from perfsim.cli.device_table import unverified
from perfsim.cli.output import json_option, print_json, print_table
from perfsim.cli.systems import system_row
from perfsim.cli.techniques import technique_row
from perfsim.devices import Device, Stack
from perfsim.devices.profile import Datum, Profile
from perfsim.errors import UnknownNameError
from perfsim.techniques.registry import technique_classes

__all__ = ["command"]


@click.command(name="show")
@click.argument("kind")
@click.argument("name")
@json_option
def command(kind: str, name: str, as_json: bool) -> None:
    """Show the model, device, stack, technique or system NAME; KIND says which."""
    if kind not in _KINDS:
        raise UnknownNameError("kind", kind, _KINDS)
    data = _KINDS[kind](name)
    if as_json:
        print_json(data)
        return
    _print(kind, data)


def _model(name: str) -> dict[str, Any]:
    entry = model_entry(name)
    model = entry.model
    return {
        "name": entry.key,
        "parameters": model.parameters,
        "published_parameters": _published(entry.published, entry.sources),
        "active_parameters": model.active_parameters,
        "published_active_parameters": _published(entry.active, entry.sources),
        "macs": model.macs,
        "published_macs": _published(entry.macs, entry.sources),
        "timm": entry.timm,
        **model.shape(),
        "context_limit": model.context_limit,
        "dtype": model.dtype,
        "config": entry.config,
        "source": entry.sources.get(entry.source),
        "note": entry.note,
        "remarks": list(model.remarks),
        "sources": entry.sources,
    }


def _published(count: tuple[int, str] | None, sources: dict[str, str]) -> dict[str, Any] | None:
    return None if count is None else {"value": count[0], "source": sources[count[1]]}


def _profile(item: Profile) -> dict[str, Any]:
    return {
        "name": item.key,
        "title": item.name,
        "info": {key: value for key, value in item.info.items() if key not in ("reading", "exception")},
        "quantities": _quantities(item, item.data),
        "notes": list(item.notes),
        "sources": dict(item.sources),
    }


def _quantities(item: Profile, data: Mapping[str, Datum]) -> list[dict[str, Any]]:
    return [
        {"path": path, "value": datum.value, "unit": str(datum.dimension)[1:-1], "text": str(datum),
         "status": datum.status, "source": item.sources.get(datum.source, datum.source), "note": datum.note}
        for path, datum in data.items()
    ]  # fmt: skip


def _device(name: str) -> dict[str, Any]:
    item: Device = device(name)
    points = [{"point": point, **row} for point, data in item.points.items() for row in _quantities(item, data)]
    return {
        **_profile(item),
        "operating_points": points,
        "readings": item.info.get("reading", []),
        "exceptions": item.info.get("exception", []),
        "unverified": unverified(item),
    }


def _stack(name: str) -> dict[str, Any]:
    item: Stack = stack(name)
    variants = [
        {"match": list(patterns), "calibration": None if calibration is None else vars(calibration),
         "quantities": {path: str(datum) for path, datum in data.items()}}
        for patterns, data, calibration in item.variants
    ]  # fmt: skip
    return {
        **_profile(item),
        "attention": item.attention,
        "fuse": list(item.fuse),
        "ideal": item.on_chip,
        "devices": variants,
    }


def _technique(name: str) -> dict[str, Any]:
    classes = technique_classes()
    if name not in classes:
        raise UnknownNameError("technique", name, classes, "List them with: perfsim techniques")
    return technique_row(classes[name])


def _system(name: str) -> dict[str, Any]:
    system = published_system(name)
    claims = [
        {"claim": c.text, "metric": c.metric, "published": c.published, "band": [c.low, c.high], "source": c.source}
        for c in system.claims
    ]
    return {**system_row(system), "declared": dict(system.declared), "notes": list(system.notes), "claims": claims}


_KINDS: dict[str, Callable[[str], dict[str, Any]]] = {
    "model": _model, "device": _device, "stack": _stack, "technique": _technique, "system": _system,
}  # fmt: skip


def _print(kind: str, data: dict[str, Any]) -> None:
    plain = {key: value for key, value in data.items() if key not in _TABLES or isinstance(value, int)}
    rows = [row for key, value in plain.items() for row in _rows(key, value)]
    print_table(f"{kind} {data['name']}", ("field", "value"), rows)
    if data.get("quantities"):
        print_table("quantities", _COLUMNS, [_cells(q) for q in data["quantities"]], ("value",))
    if data.get("operating_points"):
        cells = [(q["point"], *_cells(q)) for q in data["operating_points"]]
        print_table("operating points, e.g. --set device.operating_point=" + cells[0][0], ("point", *_COLUMNS), cells)
    for name in _OTHERS:
        value = data.get(name)
        if isinstance(value, dict) and value:
            print_table(name, ("key", "value"), [(key, _text(item)) for key, item in value.items()])
        elif isinstance(value, list) and value:
            columns = tuple(dict.fromkeys(key for item in value for key in item))
            print_table(name, columns, [tuple(_text(item.get(c)) for c in columns) for item in value])


_COLUMNS = ("path", "value", "status", "source")


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return row["path"], row["text"], row["status"], row["source"] + (f"; {row['note']}" if row["note"] else "")


_OTHERS = ("config", "parameters", "readings", "exceptions", "devices", "declared", "claims")
_TABLES = ("quantities", "operating_points", *_OTHERS)
"""Parts of an entry that are tables of their own, where they are not one number."""


def _rows(key: str, value: Any) -> list[tuple[str, str]]:
    """A field as one row, a list of texts or a table as one row each."""
    if isinstance(value, dict):
        texts = [f"{name}: {_text(item)}" for name, item in value.items()]
    else:
        texts = [_text(item) for item in (value if isinstance(value, list) else [value])]
    return [(key if index == 0 else "", text) for index, text in enumerate(texts) if text]


def _text(value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{key}={_text(item)}" for key, item in value.items())
    return "; ".join(_text(item) for item in value) if isinstance(value, list | tuple) else str(value)
