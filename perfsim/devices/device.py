"""Devices: roofline profiles of chips, with memory levels, links, power and price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

from perfsim.devices.domains import followed
from perfsim.devices.profile import Datum, Profile
from perfsim.errors import InputError, UnknownNameError
from perfsim.graph import Unit
from perfsim.quantities.dtypes import DTYPES, DType
from perfsim.quantities.numbers import Number, maximum, varies
from perfsim.quantities.units import DIMENSIONS

__all__ = ["Cache", "Device", "Link"]

SCALE_OUT = ("infiniband", "ethernet", "efa", "pcie")
"""Links that leave the scale-up domain, best first; every other link is scale-up."""

NOT_BETWEEN = ("nvlink-c2c", "infinity-fabric-host", "host", "die-to-die")
"""Links to the device's own host or within its package: no two devices talk over them."""


CLASS_LAUNCH: Mapping[str, float] = MappingProxyType({"datacenter-gpu": 2.6e-6, "consumer-gpu": 1.6e-6})
"""Fixed time per kernel [s] by class, where a device states none: back-to-back kernels of te42kyfo/gpu-benches take
2.4-2.6 µs on A100 and H200 and 1.6 µs on the consumer-class L40. Other classes have no measured value."""


@dataclass(frozen=True, eq=False)
class Link:
    """A link between devices.

    bandwidth: per direction and device [byte/s]; latency: of one hop in hardware [s]; domain: devices
    that reach each other over it.
    """

    name: str
    bandwidth: Number
    latency: Number
    domain: Number


@dataclass(frozen=True, eq=False)
class Cache:
    """The last-level cache of a chip: capacity [byte], bandwidth [byte/s]."""

    name: str
    capacity: Number
    bandwidth: Number


CACHES = ("slc", "l3", "l2")
"""Levels that can be the last hardware-managed one before main memory, outermost first."""

CACHE_SPEED = 2.6
"""Bandwidth of a last-level cache over that of main memory [1], where no source gives it: the least of the measured
ones (A100 2.65, V100 2.7, H100 2.9, L40S 6)."""


@dataclass(frozen=True, eq=False)
class Device(Profile):
    """A chip (or the engine of a chip) as a roofline profile.

    points: operating point (``1.2V``, ``15W``) → the quantities that differ there, by path; origin: the device that
    this one is a what-if of.
    """

    points: Mapping[str, Mapping[str, Datum]] = field(default_factory=dict)
    origin: Device | None = field(default=None, repr=False)

    kind = "device"

    def at(self, point: str) -> Device:
        """A copy at a named operating point: what the point states replaces the profile, the rest stays.

        Raises
        ------
        UnknownNameError, InputError
            if the device has no such point, no points at all, or is at another point already.
        """
        if not self.points:
            raise InputError(f"device {self.key} has no operating points; leave out device.operating_point={point}")
        if point not in self.points:
            raise UnknownNameError(f"operating point of device {self.key}", str(point), self.points)
        present = self.info.get("operating_point", point)
        if present != point:
            raise InputError(
                f"device {self.key} is at operating point {present} already and cannot go to {point}; "
                f"start from the device of the catalogue"
            )
        info = {**self.info, "operating_point": point}
        return replace(self, data={**self.data, **self.points[point]}, info=info, origin=None)

    def replace(self, **changes: Any) -> Device:
        """As :meth:`Profile.replace`; ``operating_point="1.2V"`` among the changes goes first (:meth:`at`)."""
        if "operating_point" not in changes:
            changed = super().replace(**changes)
            return replace(changed, data=followed(self.data, changed.data, changes), origin=self.rated)
        device = self.at(changes.pop("operating_point"))
        return device.replace(**changes) if changes else device

    @property
    def rated(self) -> Device:
        """The device without what-ifs: what the rates of stacks were measured on."""
        return self if self.origin is None else self.origin

    @property
    def main_memory(self) -> str:
        """Name of the main memory, e.g. ``hbm``."""
        return str(self.info["main_memory"])

    @property
    def base_key(self) -> str:
        """Key of the catalogue device that this one is a variant of, or its own."""
        return str(self.info.get("base", self.key))

    def resolve(self, path: str) -> str:
        """``memory.main.*`` is an alias for the main memory."""
        if path.startswith("memory.main."):
            return f"memory.{self.main_memory}.{path.removeprefix('memory.main.')}"
        return path

    @cached_property
    def bandwidth(self) -> Number:
        """Peak bandwidth of the main memory [byte/s]."""
        return self._main("bandwidth")

    @cached_property
    def capacity(self) -> Number:
        """Capacity of the main memory [byte]."""
        return self._main("capacity")

    def _main(self, what: str) -> Number:
        value = self.get(f"memory.{self.main_memory}.{what}")
        if value is None:
            raise InputError(
                f"device {self.key}: no source gives its memory.{self.main_memory}.{what}; it can be listed but not "
                f'used for predictions. Write a TOML with base = "{self.key}" that states it'
            )
        return value

    @cached_property
    def kernel_launch(self) -> Datum:
        """Fixed time per kernel [s] for stacks that state none: the device's own reading, or its class's."""
        if "launch.stream" in self.data:
            return self.data["launch.stream"]
        value = CLASS_LAUNCH.get(str(self.info.get("class")), 0.0)
        note = "default of the class" if value else "no measurement for this class of device: taken as zero"
        return Datum(value, DIMENSIONS["time"], "class", "unverified", note)

    @cached_property
    def cache(self) -> Cache | None:
        """The last-level cache that the whole chip shares; None for chips without one, and for scratchpads."""
        if self.info.get("class") == "microcontroller":
            return None
        for name in CACHES:
            capacity = self.get(f"memory.{name}.capacity")
            if capacity is not None and name != self.main_memory and self.info.get(f"memory.{name}.scope") == "chip":
                bandwidth = self.get(f"memory.{name}.bandwidth", CACHE_SPEED * self.bandwidth)
                return Cache(name, capacity, maximum(bandwidth, self.bandwidth))
        return None

    @cached_property
    def units(self) -> Number:
        """Independent compute units over which work is spread in waves (SMs, CUs, cores); 1 if unknown."""
        counts = dict(self.paths("units"))
        return next((counts[name].value for name in ("sm", "cu", "tensorcore", "core") if name in counts), 1)

    def peaks(self, unit: str) -> dict[str, Number]:
        """Peak by number format of ``tensor``, ``vector`` or ``tensor_sparse`` [FLOP/s]."""
        return {name: datum.value for name, datum in self.paths(f"compute.{unit}")}

    @cached_property
    def _peaks(self) -> dict[tuple[Unit, str], Number]:
        return {}

    def peak(self, unit: Unit, dtype: DType) -> Number:
        """Dense peak of ``unit`` in ``dtype`` [FLOP/s].

        Matrix work falls back to the vector unit where there is no matrix unit for the format. Vector work
        in a format without its own figure runs at the fp32 rate, or at the widest known one.

        Raises
        ------
        InputError
            if the device cannot do matrix work in that format.
        """
        key = (unit, dtype.name)
        if key not in self._peaks:
            self._peaks[key] = self._find_peak(unit, dtype)
        return self._peaks[key]

    def _find_peak(self, unit: Unit, dtype: DType) -> Number:
        tensor, vector = self.peaks("tensor"), self.peaks("vector")
        if unit is Unit.TENSOR:
            value = tensor.get(dtype.name, vector.get(dtype.name))
            if value is None and dtype.name == "fp32":
                value = tensor.get("tf32")
            if value is None:
                known = ", ".join(self.formats) or "none"
                raise InputError(f"device {self.key} has no {dtype} matrix rate; it computes in {known}")
            return value
        for table in (vector, tensor):
            for name in (dtype.name, "fp32", *sorted(table, key=lambda n: -DTYPES[n].bits if n in DTYPES else 0)):
                if name in table:
                    return table[name]
        raise InputError(f"device {self.key} states no compute peak at all; it cannot be used for predictions")

    def has_matrix_unit(self, dtype: DType) -> bool:
        """Whether matrix work in ``dtype`` has a unit of its own, so that element-wise work can run beside it."""
        return f"compute.tensor.{dtype.name}" in self.data

    @cached_property
    def formats(self) -> tuple[str, ...]:
        """Number formats in which the device multiplies matrices."""
        names = {**self.peaks("tensor"), **self.peaks("vector")}
        return tuple(name for name in DTYPES if name in names)

    @cached_property
    def _links(self) -> dict[str, Link]:
        return {}

    def link(self, name: str) -> Link:
        """Link by name.

        Raises
        ------
        UnknownNameError, InputError
            if the device has no such link, or its domain has no device.
        """
        if name in self._links:
            return self._links[name]
        bandwidth = self.get(f"link.{name}.bandwidth")
        if bandwidth is None:
            raise UnknownNameError(f"link of device {self.key}", name, self.link_names)
        latency = self.get(f"link.{name}.latency", 0.0)
        domain = self.get(f"link.{name}.domain", float("inf"))
        if not varies(domain) and domain < 1:
            raise InputError(f"device {self.key}: link.{name}.domain is {domain}, expected at least 1 device")
        self._links[name] = Link(name, bandwidth, latency, domain)
        return self._links[name]

    @cached_property
    def link_names(self) -> tuple[str, ...]:
        """Links between devices with a known bandwidth, scale-up before scale-out."""
        names = [path.split(".")[0] for path, _ in self.paths("link") if path.endswith(".bandwidth")]
        names = [name for name in names if name not in NOT_BETWEEN]
        return tuple(sorted(names, key=lambda n: (n in SCALE_OUT, SCALE_OUT.index(n) if n in SCALE_OUT else 0)))

    @property
    def offers(self) -> dict[str, Datum]:
        """Prices per device [USD/s] by offer, as listed."""
        return {path: datum for path, datum in self.paths("price") if "." not in path}

    def price(self, offer: str | None = None) -> Datum | None:
        """Price [USD/s]: of ``offer``, or of the first one listed; None if the device has no price.

        Raises
        ------
        UnknownNameError
            if ``offer`` is not listed.
        """
        offers = self.offers
        if offer is not None and offer not in offers:
            raise UnknownNameError(f"price offer of device {self.key}", offer, offers)
        return offers[offer] if offer else next(iter(offers.values()), None)
