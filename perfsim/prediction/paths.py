"""What-if paths: which quantity each of them names, and that none is named twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from perfsim.devices import Device
from perfsim.errors import InputError

__all__ = ["check_once", "overridden", "quantity_path"]


def quantity_path(path: str, device: Device) -> str:
    """The one path of a quantity that may have several, e.g. ``device.memory.hbm.bandwidth`` for ``…main…``."""
    kind, _, rest = path.partition(".")
    if kind == "link":
        return f"device.{path}"
    return f"device.{device.resolve(rest)}" if kind == "device" else path


def check_once(paths: Iterable[str], device: Device) -> None:
    """Refuse two paths of one quantity: which of them holds would depend on their order.

    Raises
    ------
    InputError
        that names both.
    """
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(quantity_path(path, device), path)
        if other is not path:
            what = "both set and varied" if other == path else f"the same quantity of {device.key} as {other}"
            raise InputError(f"{path}: {what}; state it once")


def overridden(base: Mapping[str, Any], changes: Mapping[str, Any], device: Device) -> dict[str, Any]:
    """Both together; a change replaces what ``base`` says of the same quantity, by whatever path."""
    changed = {quantity_path(path, device) for path in changes}
    return {**{p: value for p, value in base.items() if quantity_path(p, device) not in changed}, **changes}
