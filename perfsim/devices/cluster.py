"""Chips made of cores of the catalogue: a cluster from the kind, the number and the clock of its cores."""

from __future__ import annotations

from perfsim.devices.device import Device
from perfsim.errors import InputError
from perfsim.graph import Unit
from perfsim.quantities.dtypes import DTYPES
from perfsim.quantities.numbers import Number, varies

__all__ = ["cluster", "spread"]


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


def spread(*clusters: Device) -> Device:
    """Threads over all cores of several clusters, one thread each, with the work split evenly among them [1].

    clusters: large and small cores of a chip, each as a device at the point at which all its cores run. All wait for
    the slowest core, so every core counts as one of those: the result is the cluster of slowest cores with the peaks of
    that many. Cores that share a cache, and wait for each other, stay those of one cluster.

    A queue from which threads take more work when they are done would add the peaks up instead. The 94 published rows
    of ncnn with threads over both kinds of core take 1.6 to 2.3 times as long as that, in the median of a chip.

    Raises
    ------
    InputError
        without a cluster.

    References
    ----------
    .. [1] OpenMP, ``schedule(static)``, the default of compilers, as in Tencent/ncnn.
    """
    if not clusters:
        raise InputError("threads over no cluster: expected at least one device")
    total = sum(device.units for device in clusters)
    slowest = min(clusters, key=lambda device: device.peak(Unit.VECTOR, DTYPES["fp32"]) / device.units)
    scale = total / slowest.units
    peaks = {path: datum.value * scale for path, datum in slowest.data.items() if path.startswith("compute.")}
    return slowest.replace(**peaks, **{"units.core": max(device.units for device in clusters)})
