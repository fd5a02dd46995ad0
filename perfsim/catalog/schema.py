"""Which quantity may stand where in a TOML, and its dimension."""

from __future__ import annotations

import re

from perfsim.devices import PARAMETERS, TILED_PARAMETERS
from perfsim.quantities.dimensions import Dimension
from perfsim.quantities.dtypes import DTYPES
from perfsim.quantities.units import DIMENSIONS

__all__ = ["STATUSES", "device_dimensions", "stack_dimensions"]

STATUSES = ("vendor", "measured", "derived", "fitted", "model", "unverified")
"""What a value can be; vendor, measured and fitted values are never mixed under one key."""

_TEXTS = ("technology", "topology", "scope", "bandwidth_scope", "capacity_scope", "latency_scope", "count")
"""Last parts of a path that are information, never a quantity."""

_IS_RATE = re.compile(r"(.*_)?bandwidth$|allreduce_")

_LAST: dict[tuple[str, str], tuple[str, ...]] = {
    ("memory", "capacity"): ("capacity",),
    ("memory", "shared_capacity"): ("capacity",),
    ("memory", "latency"): ("time",),
    ("memory", "setup"): ("time",),
    ("link", "latency"): ("time",),
    ("link", "domain"): ("ratio",),
    ("link", "links"): ("ratio",),
    ("link", "lanes"): ("ratio",),
    ("link", "domain_ultraserver"): ("ratio",),
}
_FIRST: dict[str, tuple[str, ...]] = {
    "units": ("ratio",),
    "clock": ("frequency",),
    "power": ("power",),
    "launch": ("time",),
    "price": ("price",),
    "marketing": ("peak",),
    "energy": ("energy_per_flop", "energy_per_byte", "energy"),
    "process": ("length", "ratio"),
    "voltage": ("voltage",),
    "year": ("ratio",),
    "kernel": ("ratio",),
    "sleep": ("power",),
}


def device_dimensions(path: str) -> tuple[Dimension, ...]:
    """Dimensions that the quantity at ``path`` of a device may have; empty if nothing may stand there."""
    parts = path.split(".")
    if parts[-1] in _TEXTS:
        return ()
    if parts[0] == "measured" and len(parts) > 2:
        parts = parts[1:]
    if parts[0] == "compute":
        known = len(parts) == 3 and parts[2].removesuffix("_acc16").removesuffix("_acc32") in DTYPES
        return (DIMENSIONS["peak"],) if known else ()
    if len(parts) == 3 and parts[0] in ("memory", "link") and _IS_RATE.match(parts[2]):
        return (DIMENSIONS["bandwidth"],)
    if len(parts) == 3 and (parts[0], parts[2]) in _LAST:
        return tuple(DIMENSIONS[name] for name in _LAST[parts[0], parts[2]])
    return tuple(DIMENSIONS[name] for name in _FIRST.get(parts[0], ()))


def stack_dimensions(path: str) -> tuple[Dimension, ...]:
    """The same for a stack: its parameters, at top level or below ``dtype.<format>``."""
    parts = path.split(".")
    if parts[0] == "dtype" and len(parts) == 3 and parts[1] in DTYPES:
        parts = parts[2:]
    if parts[0] == "kernel" and len(parts) == 3:
        parts[1] = "*"
    path = ".".join(parts)
    name = PARAMETERS[path][0] if path in PARAMETERS else TILED_PARAMETERS.get(path)
    return (DIMENSIONS[name],) if name else ()
