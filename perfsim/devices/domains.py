"""Clock and voltage domains of a chip: what runs on a clock goes with it, and power goes with voltage squared.

References
----------
.. [1] A. Chandrakasan, S. Sheng, R. Brodersen, "Low-power CMOS digital design", IEEE JSSC 27(4), 1992.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from types import MappingProxyType

from perfsim.devices.profile import Datum

__all__ = ["DOMAINS", "followed"]

DOMAINS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "clock.cluster": MappingProxyType(
            {
                "compute.*": 1, "measured.compute.*": 1, "memory.l1.bandwidth": 1, "memory.l2.bandwidth": 1,
                "memory.l1.latency": -1, "memory.l2.latency": -1, "power.active.cluster": 1,
            }
        ),
        "clock.fabric": MappingProxyType({"memory.hyperram.bandwidth": 1, "memory.hyperram.latency": -1}),
        "voltage.core": MappingProxyType({"power.active.*": 2}),
    }
)  # fmt: skip
"""Quantity → what goes with it, and with which power of it.

The cores, their scratchpads and the DMA between these run on ``clock.cluster``, the interface to the main memory on
``clock.fabric``. ``power.active.base`` goes with the voltage only: how much of it switches with which clock is not
known. What a chip can do at a voltage is not checked.
"""


def followed(before: Mapping[str, Datum], after: Mapping[str, Datum], changed: Iterable[str]) -> dict[str, Datum]:
    """The data ``after`` a change, with what goes with the quantities that ``changed``, by their ratio to ``before``.

    What a user set stays.
    """
    data = dict(after)
    for name in changed:
        for pattern, power in DOMAINS.get(name, {}).items():
            ratio = (after[name].value / before[name].value) ** power
            for path, datum in data.items():
                if fnmatchcase(path, pattern) and datum.status != "what-if":
                    note = f"{datum.note}; goes with {name}".removeprefix("; ")
                    data[path] = replace(datum, value=datum.value * ratio, note=note)
    return data
