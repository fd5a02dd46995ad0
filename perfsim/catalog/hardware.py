"""Devices and stacks from their TOML files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from perfsim.catalog.files import Name, as_text, find, looks_like_path, names, read_toml
from perfsim.catalog.points import check_rates, covers, read_exceptions, read_points
from perfsim.catalog.reader import Fields, read_data
from perfsim.catalog.schema import device_dimensions, stack_dimensions
from perfsim.costs.board import board_energies, point_energies, share_sources
from perfsim.devices import Calibration, Datum, Device, Stack
from perfsim.devices.limits import is_share, is_whole

__all__ = ["CLASSES", "device", "device_names", "stack", "stack_names"]

CLASSES = (
    "datacenter-gpu", "consumer-gpu", "tpu", "accelerator", "server-cpu", "client-cpu", "mobile", "sbc", "edge-gpu",
    "edge-accelerator", "fpga", "microcontroller",
)  # fmt: skip
_FUSION = re.compile(r"[a-z0-9*-]+\+[a-z0-9*-]+(/[1-9][0-9]{0,3})?")
_NOT_DEVICES = ("stacks", "economics")
"""Folders below ``hardware`` that hold something else."""

_DEVICE_INFO = (
    "name", "vendor", "class", "main_memory", "system", "engine", "notes", "reading", "sources", "base", "exception",
    "operating_point",
)  # fmt: skip
_STACK_INFO = (
    "name", "attention", "fuse", "on_chip", "block_tokens", "all_logits", "device", "calibration", "notes", "sources",
    "framework", "autocast", "channels_first", "keeps_batch_norm", "runs_on", "vendors", "engines", "measured", "jobs",
    "weights_in", "format",
)  # fmt: skip


def device_names() -> tuple[str, ...]:
    """Names of all devices of the catalogue."""
    return names("hardware", _NOT_DEVICES)


def stack_names() -> tuple[str, ...]:
    """Names of all stacks of the catalogue."""
    return names("hardware/stacks")


def device(name: Name | Device) -> Device:
    """Device by catalogue name or path of a TOML; a device passes through.

    Raises
    ------
    UnknownNameError, CatalogError
        if there is no such device, or its file is malformed.
    """
    if isinstance(name, Device):
        return name
    text = as_text(name)
    path = find("device", "hardware", text, _NOT_DEVICES)
    return _read_device(path) if looks_like_path(text) else _known_device(path)


def stack(name: Name | Stack) -> Stack:
    """Stack by catalogue name or path of a TOML; a stack passes through.

    Raises
    ------
    UnknownNameError, CatalogError
        if there is no such stack, or its file is malformed.
    """
    if isinstance(name, Stack):
        return name
    text = as_text(name)
    path = find("stack", "hardware/stacks", text)
    return _read_stack(path) if looks_like_path(text) else _known_stack(path)


@lru_cache(maxsize=256)
def _known_device(path: Path) -> Device:
    return _read_device(path)


@lru_cache(maxsize=64)
def _known_stack(path: Path) -> Stack:
    return _read_stack(path)


def _read_device(path: Path, seen: tuple[Path, ...] = ()) -> Device:
    table = read_toml(path)
    fields = Fields(table, path)
    if path in seen:
        raise fields.fail("base", f"leads back to this file over {len(seen)} steps; expected a device without a cycle")
    sources = fields.sources()
    base = None
    if "base" in table:
        base = _read_device(find("device", "hardware", fields.text("base"), _NOT_DEVICES), (*seen, path))
        sources = {**base.sources, **sources}
    quantities = {k: v for k, v in table.items() if k not in _DEVICE_INFO}
    data, info = read_data(quantities, fields, device_dimensions, sources)
    info |= {k: fields.text(k) for k in ("vendor", "class", "main_memory", "system", "engine", "base") if k in table}
    info["reading"] = fields.tables("reading")
    info["exception"] = read_exceptions(fields)
    points = read_points(fields, sources)
    own = data
    if base is not None:
        info["exception"] += [old for old in base.info["exception"] if not covers(old, data)]
        data, info = {**base.data, **data}, {**base.info, **info, "base": base.base_key}
        points = {name: {**base.points.get(name, {}), **points.get(name, {})} for name in {**base.points, **points}}
    _check_device(fields, data, info)
    if base is not None and "power.maximum" in own:
        data = {path: datum for path, datum in data.items() if path in own or datum.source not in share_sources()}
    energies = board_energies(data, info)
    data = {**data, **energies}
    points = {name: {**point, **point_energies(point, data, info)} for name, point in points.items()}
    if energies:
        sources = {**sources, **share_sources()}
    return Device(path.stem, fields.text("name", path.stem), data, info, sources, fields.texts("notes"), points)


def _check_device(fields: Fields, data: Mapping[str, Datum], info: Mapping[str, Any]) -> None:
    for key in ("class", "main_memory"):
        if key not in info:
            raise fields.fail(key, "is missing, expected a text")
    if info["class"] not in CLASSES:
        raise fields.fail("class", f'is "{info["class"]}", expected one of {", ".join(CLASSES)}')
    prefix = f"memory.{info['main_memory']}."
    levels = sorted({path.split(".")[1] for path in data if path.startswith("memory.")})
    if levels and not any(path.startswith(prefix) for path in data):
        given = f'is "{info["main_memory"]}"'
        raise fields.fail("main_memory", f"{given}, expected one of the [memory.*] tables: {', '.join(levels)}")
    for path, datum in data.items():
        if is_whole(path) and not float(datum.value).is_integer():
            raise fields.fail(path, f"is {datum.value}, expected a whole number")
    check_rates(fields, data)


def _read_stack(path: Path) -> Stack:
    table = read_toml(path)
    fields = Fields(table, path)
    sources = fields.sources()
    quantities = {k: v for k, v in table.items() if k not in _STACK_INFO}
    data, info = read_data(quantities, fields, stack_dimensions, sources)
    _only_quantities(fields, info)
    _check_ratios(fields, data, "")
    attention, block = fields.text("attention", "fused"), table.get("block_tokens", 1)
    _check_stack(fields, attention, block)
    result = Stack(
        path.stem,
        fields.text("name"),
        data,
        {"framework": fields.text("framework", "")},
        sources,
        fields.texts("notes"),
        attention=attention,
        fuse=fields.texts("fuse"),
        on_chip=fields.flag("on_chip"),
        block_tokens=block,
        all_logits=fields.flag("all_logits"),
        autocast=fields.flag("autocast"),
        channels_first=fields.flag("channels_first"),
        keeps_batch_norm=fields.flag("keeps_batch_norm"),
        runs_on=fields.texts("runs_on"),
        vendors=fields.texts("vendors"),
        engines=fields.texts("engines"),
        measured=fields.texts("measured"),
        jobs=fields.texts("jobs") or ("inference",),
        weights_in=fields.text("weights_in", ""),
        format=fields.text("format", ""),
    )
    return replace(result, variants=_variants(fields, sources))


def _check_stack(fields: Fields, attention: str, block: Any) -> None:
    """Refuse words and numbers that no stack can have."""
    if attention not in ("naive", "fused", "paged"):
        raise fields.fail("attention", f'is "{attention}", expected naive, fused or paged')
    for rule in fields.texts("fuse"):
        if not _FUSION.fullmatch(rule):
            raise fields.fail("fuse", f'"{rule}" is not a rule, expected producer+consumer or producer+consumer/4')
    if isinstance(block, bool) or not isinstance(block, int) or not 1 <= block <= 10**9:
        raise fields.fail("block_tokens", f"is {block!r}, expected a whole number, at least 1")
    for kind in fields.texts("runs_on"):
        if kind not in CLASSES:
            raise fields.fail("runs_on", f'"{kind}" is not a class of devices, expected {", ".join(CLASSES)}')


def _only_quantities(fields: Fields, info: Mapping[str, Any]) -> None:
    for key in info:
        raise fields.fail(key, "is not a parameter of a stack; see docs/adding-things.md for the known ones")


def _check_ratios(fields: Fields, data: Mapping[str, Datum], prefix: str) -> None:
    for name, datum in data.items():
        if is_share(name) and datum.value > 1:
            raise fields.fail(
                f"{prefix}{name}", f"is {datum.value}, expected at most 1: nothing is faster than its roofline"
            )
        if name.endswith("efficiency") and datum.value <= 0:
            raise fields.fail(f"{prefix}{name}", "is 0, expected a value above 0")


def _variants(
    fields: Fields, sources: Mapping[str, str]
) -> tuple[tuple[tuple[str, ...], dict[str, Datum], Calibration | None], ...]:
    result = []
    for name, entry in fields.section("device").items():
        if not isinstance(entry, dict):
            raise fields.fail(f"device.{name}", f"is {entry!r}, expected a table")
        inner = Fields(entry, Path(fields.file))
        quantities = {k: v for k, v in entry.items() if k not in ("match", "calibration")}
        data, info = read_data(quantities, fields, stack_dimensions, sources)
        _only_quantities(fields, {f"device.{name}.{key}": value for key, value in info.items()})
        _check_ratios(fields, data, f"device.{name}.")
        patterns = inner.texts("match")
        if not patterns:
            raise fields.fail(f"device.{name}.match", 'is missing, expected a list of device names, e.g. ["a100-*"]')
        result.append((patterns, data, _calibration(fields, f"device.{name}.calibration", entry.get("calibration"))))
    return tuple(result)


def _calibration(fields: Fields, where: str, entry: Any) -> Calibration | None:
    if entry is None:
        return None
    try:
        entry = dict(entry)
        dtypes, seen, always = (
            tuple(str(each) for each in entry.pop(key, ())) for key in ("dtypes", "techniques", "always")
        )
        entry.pop("note", None)
        result = Calibration(
            low=float(entry.pop("low")), high=float(entry.pop("high")), rows=int(entry.pop("rows")),
            source=str(entry.pop("source")), dtypes=dtypes, batch=int(entry.pop("batch", 1)),
            group=int(entry.pop("group", 1)), techniques=seen, always=always,
            **{key: float(value) for key, value in entry.items()},
        )  # fmt: skip
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise fields.fail(
            where, f"cannot be read ({error}); expected low, high, rows, source, dtypes, batch, group"
        ) from None
    prompt = (result.prefill_low, result.prefill_high)
    pairs = [(result.low, result.high)] + ([prompt] if prompt != (None, None) else [])
    for low, high in pairs:
        if low is None or high is None or not 1e-6 <= low <= high <= 1e6:
            raise fields.fail(where, f"low {low} and high {high}, expected 1e-6 <= low <= high <= 1e6")
    if min(result.rows, result.batch, result.group) < 1:
        raise fields.fail(where, "expected rows, batch and group of at least 1")
    return result
