"""Chips made of cores of the catalogue: a cluster from the kind, the number and the clock of its cores."""

from __future__ import annotations

from perfsim.devices.device import Device
from perfsim.errors import InputError
from perfsim.quantities.numbers import Number, varies

__all__ = ["cluster"]


def cluster(core: Device, *, cores: Number, clock: Number, bandwidth: Number) -> Device:
    """``cores`` copies of a core at ``clock`` in front of one memory: a chip that has no file of its own.

    core: a core of the catalogue, e.g. ``ps.device("cortex-a72")``; cores [1]; clock [Hz]; bandwidth: of the main
    memory [byte/s]. Peaks are those of the core's file times cores and clock; a stack treats the chip as that core.

    Raises
    ------
    InputError
        if a number is not above 0, or the file states no clock to scale from.
    """
    given = {"cores": cores, "clock": clock, "bandwidth": bandwidth}
    for name, value in given.items():
        if not varies(value) and value <= 0:
            raise InputError(f"a cluster of {core.key}: {name} is {value}, expected a number above 0")
    stated = core.get("clock.nominal", core.get("clock.maximum"))
    if stated is None:
        raise InputError(f"device {core.key} states no clock.nominal; expected a core such as cortex-a72")
    scale = cores * clock / (stated * core.units)
    peaks = {path: datum.value * scale for path, datum in core.data.items() if path.startswith("compute.")}
    clocks = {path: clock for path in core.data if path in ("clock.nominal", "clock.maximum")}
    changed = core.replace(**peaks, **clocks, **{"memory.main.bandwidth": bandwidth})
    return changed.replace(**{"units.core": cores}) if "units.core" in core.data else changed
