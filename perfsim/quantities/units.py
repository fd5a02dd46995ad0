"""Quantities as text with a unit, at the border: ``"3.35 TB/s"`` becomes ``3.35e12`` [byte/s].

Inside perfsim every number is a plain SI float. Text is parsed here and nowhere else. Operations are
counted in FLOP; ``OP`` is accepted as the same unit, because vendors print TOP/s for integer units.
"""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from functools import cache

from perfsim.errors import UnitError
from perfsim.quantities.dimensions import DIMENSIONLESS, Dimension

__all__ = ["DIMENSIONS", "Quantity", "factor_of", "format_quantity", "parse", "parse_as"]

_DECIMAL = {
    "": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15,
}  # fmt: skip
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}

_BASE: dict[str, tuple[float, Dimension]] = {
    "s": (1.0, Dimension.of(s=1)),
    "byte": (1.0, Dimension.of(byte=1)),
    "B": (1.0, Dimension.of(byte=1)),
    "bit": (0.125, Dimension.of(byte=1)),
    "FLOP": (1.0, Dimension.of(FLOP=1)),
    "OP": (1.0, Dimension.of(FLOP=1)),
    "J": (1.0, Dimension.of(J=1)),
    "W": (1.0, Dimension.of(J=1, s=-1)),
    "Wh": (3600.0, Dimension.of(J=1)),
    "Hz": (1.0, Dimension.of(s=-1)),
    "V": (1.0, Dimension.of(V=1)),
    "m": (1.0, Dimension.of(m=1)),
    "USD": (1.0, Dimension.of(USD=1)),
    "g": (1e-3, Dimension.of(kg=1)),
    "token": (1.0, DIMENSIONLESS),
}
_FIXED: dict[str, tuple[float, Dimension]] = {
    "min": (60.0, Dimension.of(s=1)),
    "h": (3600.0, Dimension.of(s=1)),
    "day": (86400.0, Dimension.of(s=1)),
    "%": (0.01, DIMENSIONLESS),
    "cycle": (1.0, DIMENSIONLESS),
}

_INFORMATION = ("byte", "B", "bit")
_OTHERWISE = {
    "FLOPS": "FLOP/s", "FLOPs": "FLOP", "OPS": "OP/s", "OPs": "OP", "Bps": "B/s", "bps": "bit/s", "b": "bit",
    "Bytes": "byte", "bytes": "byte", "bits": "bit", "Watt": "W", "Joule": "J", "sec": "s",
}  # fmt: skip
"""Spellings that others use, and ours; ``FLOPS`` is a rate, ``FLOPs`` an amount."""

DIMENSIONS: dict[str, Dimension] = {
    "time": Dimension.of(s=1),
    "peak": Dimension.of(FLOP=1, s=-1),
    "bandwidth": Dimension.of(byte=1, s=-1),
    "capacity": Dimension.of(byte=1),
    "power": Dimension.of(J=1, s=-1),
    "energy": Dimension.of(J=1),
    "energy_per_flop": Dimension.of(J=1, FLOP=-1),
    "energy_per_byte": Dimension.of(J=1, byte=-1),
    "frequency": Dimension.of(s=-1),
    "price": Dimension.of(USD=1, s=-1),
    "carbon_intensity": Dimension.of(kg=1, J=-1),
    "energy_price": Dimension.of(USD=1, J=-1),
    "voltage": Dimension.of(V=1),
    "length": Dimension.of(m=1),
    "ratio": DIMENSIONLESS,
}
"""Dimension by the name of what is measured; the catalogue's schema uses these names."""

_NUMBER = re.compile(r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*$", re.ASCII)
_FACTOR = re.compile(r"x((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)$", re.ASCII)


@dataclass(frozen=True)
class Quantity:
    """A value in SI units with its dimension."""

    value: float
    dimension: Dimension

    def __str__(self) -> str:
        return format_quantity(self.value, self.dimension)


@cache
def _unit(symbol: str) -> tuple[float, Dimension]:
    """Factor to SI and dimension of one unit with an optional prefix."""
    if symbol in _FIXED:
        return _FIXED[symbol]
    for base, (factor, dimension) in sorted(_BASE.items(), key=lambda item: -len(item[0])):
        if symbol.endswith(base):
            prefix = symbol[: -len(base)]
            if prefix in _DECIMAL:
                return _DECIMAL[prefix] * factor, dimension
            if prefix in _BINARY and dimension == Dimension.of(byte=1):
                return _BINARY[prefix] * factor, dimension
    close = _meant(symbol)
    if close:
        raise UnitError(f'unknown unit "{symbol}"; did you mean {" or ".join(close)}?')
    known = ", ".join(sorted({*_BASE, *_FIXED}))
    raise UnitError(f'unknown unit "{symbol}"; known: {known}, with prefixes k M G T P m u n p f Ki Mi Gi Ti')


def _meant(symbol: str) -> list[str]:
    """Known spellings of a unit that is written otherwise: a usual other spelling, or the closest one."""
    for other, unit in _OTHERWISE.items():
        prefix = symbol.removesuffix(other)
        if symbol.endswith(other) and (prefix in _DECIMAL or (prefix in _BINARY and unit in _INFORMATION)):
            return [prefix + unit]
    known = [*_FIXED, *(prefix + base for base in _BASE for prefix in _DECIMAL)]
    known += [prefix + base for base in _INFORMATION for prefix in _BINARY]
    known += [f"{unit}/s" for unit in known if unit.endswith((*_INFORMATION, "FLOP", "OP"))]
    found = difflib.get_close_matches(symbol.lower(), [unit.lower() for unit in known], n=1, cutoff=0.75)
    return [unit for unit in known if unit.lower() in found]


def parse(text: str) -> Quantity:
    """Read ``"3.35 TB/s"``, ``"80 GiB"``, ``"2.6 us"``, ``"56 pJ/byte"`` or a pure number ``"0.75"``.

    Raises
    ------
    UnitError
        if there is no finite number, or the unit is not known.
    """
    match = _NUMBER.match(text)
    if match is None:
        raise UnitError(f'"{text}" is not a quantity; expected a number and a unit, e.g. "3.35 TB/s"')
    value = float(match[1].replace("_", ""))
    dimension = DIMENSIONLESS
    for index, part in enumerate(match[2].split("/") if match[2] else []):
        for symbol in re.split(r"[*·]", part):
            if symbol.strip() in ("", "1") and index == 0:
                continue
            factor, unit_dimension = _unit(symbol.strip())
            value = _scaled(value, factor) if index == 0 else value / factor
            dimension = dimension * unit_dimension if index == 0 else dimension / unit_dimension
    if not math.isfinite(value):
        raise UnitError(f'"{text}" is not finite; expected a finite number')
    return Quantity(value, dimension)


def factor_of(text: str) -> float | None:
    """The factor that ``"x2"``, ``"x0.5"`` or ``"x1e-3"`` is; None for any other text."""
    match = _FACTOR.fullmatch(text.strip())
    return None if match is None else float(match[1])


def _scaled(value: float, factor: float) -> float:
    """Value × factor; small decimal prefixes divide instead, so that "5 us" is 5e-6 and nothing beside it."""
    return value / round(1 / factor) if factor < 1 and math.isclose(1 / factor, round(1 / factor)) else value * factor


def parse_as(text: str, dimension: Dimension) -> float:
    """Read ``text`` and demand its dimension; a bare ``0`` passes for every dimension.

    Raises
    ------
    UnitError
        e.g. ``"3.35 GB" is [byte], expected [byte/s]``.
    """
    quantity = parse(text)
    if quantity.dimension != dimension and quantity.value != 0.0:
        raise UnitError(f'"{text}" is {quantity.dimension}, expected {dimension}')
    return quantity.value


_STYLE: dict[Dimension, tuple[str, str]] = {
    DIMENSIONS["time"]: ("s", "num µ"),
    DIMENSIONS["capacity"]: ("B", "kMGTP"),
    DIMENSIONS["bandwidth"]: ("B/s", "kMGTP"),
    DIMENSIONS["peak"]: ("FLOP/s", "kMGTPE"),
    DIMENSIONS["energy"]: ("J", "npumkMGT"),
    DIMENSIONS["power"]: ("W", "npumkMG"),
    DIMENSIONS["energy_per_flop"]: ("J/FLOP", "fpnum"),
    DIMENSIONS["energy_per_byte"]: ("J/byte", "fpnum"),
    DIMENSIONS["frequency"]: ("Hz", "kMG"),
    DIMENSIONS["price"]: ("USD/h", ""),
    DIMENSIONS["carbon_intensity"]: ("g/kWh", ""),
    DIMENSIONS["energy_price"]: ("USD/kWh", ""),
    DIMENSIONS["voltage"]: ("V", "m"),
    DIMENSIONS["length"]: ("m", "num"),
    DIMENSIONLESS: ("", ""),
    Dimension.of(FLOP=1): ("FLOP", "kMGTPE"),
    Dimension.of(USD=1): ("USD", ""),
    Dimension.of(kg=1): ("g", "npumk"),
    Dimension.of(FLOP=1, byte=-1): ("FLOP/byte", ""),
}


def format_quantity(value: float, dimension: Dimension, digits: int = 4) -> str:
    """Text with a readable prefix; :func:`parse` reads it back to ``digits`` significant digits."""
    unit, prefixes = _STYLE.get(dimension, (str(dimension)[1:-1], ""))
    scale = value / (_unit_factor(unit))
    best, prefix = scale, ""
    for candidate in prefixes.replace(" ", ""):
        scaled = scale / _DECIMAL[candidate]
        if abs(scaled) >= 1 and (abs(scaled) < abs(best) or abs(best) < 1) and scale:
            best, prefix = scaled, candidate
    return f"{best:.{digits}g} {prefix}{unit}".strip()


def _unit_factor(unit: str) -> float:
    return parse(f"1 {unit}").value if unit else 1.0
