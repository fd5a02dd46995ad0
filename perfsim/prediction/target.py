"""What a prediction runs on: the devices that are stated, or as many as the stated layout needs."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from perfsim.catalog import device as find_device
from perfsim.catalog.files import Name
from perfsim.devices import Device, System
from perfsim.errors import InputError
from perfsim.techniques.base import Technique
from perfsim.techniques.parallel import Parallel

__all__ = ["laid_out", "layout_devices", "target_of"]


def layout_devices(chain: Iterable[Technique]) -> int:
    """Devices that the layouts of a chain need [1]: tensor × pipeline × data; 1 where none is stated."""
    return prod(t.tensor * t.pipeline * t.data for t in chain if isinstance(t, Parallel))


def target_of(on: Name | Device | System, count: int | None, chain: Iterable[Technique]) -> System:
    """The system that is asked for; without a count, as many devices as the chain needs.

    Raises
    ------
    UnknownNameError, CatalogError, InputError
        for an unknown device, a count below 1, or one that differs from that of the system.
    """
    if not isinstance(on, System):
        return System(find_device(on), layout_devices(chain) if count is None else count)
    if count is not None and count != on.count:
        raise InputError(f"count={count}: the system has {on.count} devices already; state one of the two")
    return on


def laid_out(chain: tuple[Technique, ...], target: System) -> tuple[Technique, ...]:
    """The techniques with a layout that uses all devices: tensor parallel unless stated.

    Raises
    ------
    InputError
        if the stated layout needs another number of devices.
    """
    if not any(isinstance(technique, Parallel) for technique in chain):
        return (*chain, Parallel(tensor=target.count)) if target.count > 1 else chain
    needed = layout_devices(chain)
    if needed != target.count:
        raise InputError(
            f"parallel layout needs {needed} devices (tensor × pipeline × data), the system has count={target.count}; "
            f"make them equal"
        )
    return chain
