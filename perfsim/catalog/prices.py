"""Prices, power usage effectiveness and grid emissions from ``hardware/economics/*.toml``: one line per number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType, NoneType

from perfsim.catalog.files import data_root, read_toml
from perfsim.catalog.reader import Fields, read_data
from perfsim.costs.money import Economics
from perfsim.devices import Datum, Device
from perfsim.errors import InputError, UnknownNameError, checked_type
from perfsim.quantities.dimensions import Dimension
from perfsim.quantities.units import DIMENSIONS, parse_as

__all__ = ["Rate", "economics", "electricity_price", "rates"]

FOLDER = "hardware/economics"

DATA_CENTRE = ("datacenter-gpu", "tpu", "accelerator", "server-cpu")
"""Classes of devices that stand in a data centre, so that its power usage effectiveness counts."""

_TABLES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"grid": ("region", "carbon_intensity"), "pue": ("pue", "ratio"), "electricity": ("electricity", "energy_price")}
)
"""File → its table, and the dimension of the values."""

MOST_PUE = 10.0
"""Beyond it lies no data centre, only a mistake."""


@dataclass(frozen=True, eq=False)
class Rate:
    """One line of a file: key, name for people, and the datum with source, status and date."""

    key: str
    name: str
    datum: Datum


@lru_cache(maxsize=8)
def rates(file: str) -> tuple[Mapping[str, Rate], str]:
    """All lines of ``grid``, ``pue`` or ``electricity`` by key, and the key of the default.

    Raises
    ------
    CatalogError
        if a line is malformed, or the default is none of them.
    """
    table, kind = _TABLES[file]
    path = data_root() / FOLDER / f"{file}.toml"
    fields = Fields(read_toml(path), path)
    dimension: Dimension = DIMENSIONS[kind]
    section = fields.section(table)
    paths, _ = read_data(section, fields, lambda _: (dimension,), fields.sources(), table)
    data = {path.removeprefix(f"{table}."): datum for path, datum in paths.items()}
    default = fields.text("default")
    if default not in data:
        raise fields.fail("default", f'is "{default}", expected a key of [{table}]')
    return MappingProxyType({k: Rate(k, section[k].get("name", k), datum) for k, datum in data.items()}), default


def _find(file: str, kind: str, name: str | None) -> Rate:
    known, default = rates(file)
    if name is None:
        return known[default]
    wanted = name.strip().lower()
    found = [r for r in known.values() if r.key.lower() == wanted]
    found = found or [r for r in known.values() if r.name.lower() == wanted]
    if len(found) > 1:
        raise InputError(f'{kind} "{name}" can be {" or ".join(r.key for r in found)}; state one of these')
    if not found:
        words = {word.lower() for r in known.values() for word in (r.key, r.name) if "," not in word}
        raise UnknownNameError(kind, name, words, f"They are in {FOLDER}/{file}.toml")
    return found[0]


def economics(
    device: Device, *, region: str | None = None, pue: float | str | None = None, offer: str | None = None
) -> Economics:
    """Price, power usage effectiveness and grid of a run on ``device``.

    region: key or name in ``grid.toml``, the world by default; pue: key in ``pue.toml`` or a number; by default the
    industry's mean for classes that stand in data centres, 1 for all others; offer: of the device's listed prices,
    the first by default.

    Raises
    ------
    UnknownNameError, InputError
        for an unknown name, or a number that is no power usage effectiveness.
    """
    for argument, given, example in (("region", region, "FRA"), ("offer", offer, "on-demand")):
        checked_type(argument, given, (str, NoneType), f'the name of one as text, e.g. "{example}"')
    checked_type("pue", pue, (str, int, float, NoneType), "a number from 1, or a name")
    grid = _find("grid", "region", region)
    key, value = _effectiveness(device, pue)
    price = device.price(offer)
    chosen = offer if price is None or offer is not None else next(iter(device.offers))
    date = None if price is None else price.date or None
    return Economics(
        None if price is None else price.value, chosen, date, value, key, grid.datum.value, grid.key
    )  # fmt: skip


def _effectiveness(device: Device, pue: float | str | None) -> tuple[str, float]:
    if pue is None:
        pue = None if device.info.get("class") in DATA_CENTRE else "none"
    number = _number(pue)
    if number is None:
        rate = _find("pue", "power usage effectiveness", None if pue is None else str(pue))
        return rate.key, rate.datum.value
    if not 1 <= number <= MOST_PUE:
        raise InputError(f"pue={pue}: expected a number from 1 (nothing but the devices) to {MOST_PUE:g}, or a name")
    return "", number


def _number(value: float | str | None) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else math.inf


def electricity_price(name: str | None = None) -> Rate:
    """Price of electricity [USD/J] by key or name in ``electricity.toml``, or a text such as ``"0.2 USD/kWh"``.

    Raises
    ------
    UnknownNameError, UnitError
        for an unknown name, or a quantity of another dimension.
    """
    dimension = DIMENSIONS["energy_price"]
    if name is not None and name.strip()[:1].isdigit():
        return Rate("", name, Datum(parse_as(name, dimension), dimension, "user", "what-if"))
    return _find("electricity", "electricity price", name)
