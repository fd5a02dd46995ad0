"""A job on a system of which any quantity may be changed: what inverse questions, sensitivities and searches ask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from math import isfinite
from types import NoneType
from typing import Any

from perfsim.architectures import Model
from perfsim.catalog import device as find_device
from perfsim.catalog import model as find_model
from perfsim.catalog import stack as find_stack
from perfsim.catalog.systems import expanded
from perfsim.devices import Device, Profile, Stack, System
from perfsim.errors import InputError, UnknownNameError, checked_type
from perfsim.prediction.model_scaling import PREFIX
from perfsim.prediction.paths import overridden
from perfsim.prediction.predict import predict
from perfsim.prediction.prediction import Prediction
from perfsim.prediction.target import target_of
from perfsim.quantities.units import parse
from perfsim.sweeps.sweep import parametrised
from perfsim.techniques.base import Technique
from perfsim.techniques.registry import resolve_techniques
from perfsim.workloads import Job

__all__ = ["Design", "Domain", "tried_values"]

PATHS = ("device.", "stack.", "link.")

REACH = 1e6
"""Factor around the present value within which a quantity is looked for."""

MOST: Mapping[str, int] = {"count": 256, "batch": 1 << 20, "output_tokens": 1 << 14}
"""Largest value of a whole number that is looked for; 2^20 for the others."""


EVERY = 256
"""Up to so many whole numbers are all tried."""

TRIED = 49
"""Values of a longer range that are tried."""


@dataclass(frozen=True)
class Domain:
    """Where a quantity is looked for: low to high, both included, in SI units; whole: only whole numbers."""

    low: float
    high: float
    whole: bool
    unit: str = "1"


@dataclass(frozen=True)
class Design:
    """Arguments of :func:`perfsim.predict`.

    Quantities are named as in a sweep: fields of the job (``batch``), ``count``, what-if paths
    (``device.memory.hbm.bandwidth``, ``model.width``), parameters of techniques in use
    (``using.weight-quantization.bits``).
    """

    model: str | Model
    job: Job
    on: str | Device | System
    count: int | None = None
    stack: str | Stack = "ideal"
    using: Iterable[str | Technique] = ()
    what_if: Mapping[str, Any] = field(default_factory=dict)
    region: str | None = None
    pue: float | str | None = None
    offer: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.job, Job):
            raise InputError(f"job is {type(self.job).__name__}, expected e.g. Inference(prompt_tokens=1024)")
        find_model(self.model)
        find_stack(self.stack)
        find_device(self.on.device if isinstance(self.on, System) else self.on)
        checked_type("what_if", self.what_if, Mapping, 'quantities by path, e.g. {"stack.kernel_launch": "x0.5"}')
        object.__setattr__(self, "using", resolve_techniques(expanded(self.using)))

    @property
    def _target(self) -> System:
        return target_of(self.on, self.count, resolve_techniques(self.using))

    def at(self, changes: Mapping[str, Any]) -> Prediction:
        """The prediction with some quantities changed.

        Raises
        ------
        PerfsimError
            as :func:`perfsim.predict`, and for a name that is no quantity.
        """
        names = {f.name for f in fields(self.job)}
        settings = {
            name: value for name, value in changes.items() if name in ("model", "on", "count", "stack", "using")
        }
        job = {name: value for name, value in changes.items() if name in names}
        using = {name: value for name, value in changes.items() if name.startswith("using.")}
        paths = {name: value for name, value in changes.items() if name.startswith((*PATHS, PREFIX))}
        for name in changes:
            if name not in {*settings, *job, *using, *paths}:
                raise UnknownNameError("quantity", name, [*names, "count", "device.memory.main.bandwidth"], _HINT)
        asked = {
            "on": self.on, "count": self.count, "stack": self.stack, "using": self.using, "region": self.region,
            "pue": self.pue, "offer": self.offer, **settings,
        }  # fmt: skip
        if using:
            asked["using"] = parametrised(asked["using"], using)
        if "count" in settings and isinstance(self.on, System):
            asked["on"] = self.on.device
        on = asked["on"]
        what_if = overridden(self.what_if, paths, find_device(on.device if isinstance(on, System) else on))
        return predict(asked.pop("model", self.model), self.job.replace(**job), what_if=what_if, **asked)

    def changed(self, changes: Mapping[str, Any]) -> Design:
        """The design with some fields of this class changed, e.g. ``stack``."""
        return Design(**{**{f.name: getattr(self, f.name) for f in fields(self)}, **changes})

    def value(self, name: str) -> float:
        """Present value of a quantity in SI units.

        Raises
        ------
        UnknownNameError, InputError
            if there is no such quantity, or it is not a number.
        """
        found: Any
        if name.startswith(PATHS):
            profile, path = self._profile(name)
            return float(profile.datum(path).value)
        if name.startswith(PREFIX):
            return 1.0
        if name.startswith("using."):
            found = self._parameter(name)[0]
        elif name == "count":
            found = self._target.count
        else:
            names = {f.name: getattr(self.job, f.name) for f in fields(self.job)}
            if name not in names:
                raise UnknownNameError("quantity", name, [*names, "count", "device.memory.main.bandwidth"], _HINT)
            found = names[name]
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise InputError(f"{name} is {found!r}, expected the name of a number; {_HINT}")
        return found

    def _parameter(self, name: str) -> tuple[Any, Mapping[str, Any]]:
        _, technique, parameter = (*name.split(".", 2), "", "")[:3]
        for each in self.using:
            if isinstance(each, Technique) and each.name == technique:
                for item in fields(each):
                    if item.name == parameter:
                        return getattr(each, parameter), item.metadata
        known = [f"using.{t.name}.{f.name}" for t in self.using if isinstance(t, Technique) for f in fields(t)]
        raise UnknownNameError("parameter of a technique in use", name, known)

    def domain(self, name: str, between: tuple[Any, Any] | None = None) -> Domain:
        """Where a quantity is looked for; between: ends as numbers in SI units or texts with a unit.

        Raises
        ------
        PerfsimError
            as :meth:`value`, and for ends that do not make a range.
        """
        checked_type("find", name, str, "the name of a quantity, e.g. batch or device.memory.main.bandwidth")
        value = self.value(name)
        whole = isinstance(value, int)
        unit = self._unit(name)
        checked_type("between", between, (list, tuple, NoneType), "two ends, e.g. (1, 64)")
        if between is not None:
            if len(between) != 2:
                raise InputError(f"between={between!r}: {len(between)} ends, expected two, e.g. (1, 64)")
            low, high = (self._end(name, unit, end) for end in between)
            if not low < high:
                raise InputError(f"{name}: between {between[0]} and {between[1]} is no range; state low < high")
            return Domain(int(low) if whole else low, int(high) if whole else high, whole, unit)
        if name.startswith("using."):
            notes = self._parameter(name)[1]
            low = notes["least"] if notes["least"] is not None else 0
            high = notes["most"] if notes["most"] is not None else max(1 << 20, value)
            return Domain(low, high, whole, unit)
        if whole:
            return Domain(1, max(MOST.get(name, 1 << 20), int(value)), True, unit)
        if not value or not isfinite(value):
            raise InputError(f"{name} is {value:g}: state between which values to look, between=(low, high)")
        return Domain(value / REACH, value * REACH, False, unit)

    def _profile(self, name: str) -> tuple[Profile, str]:
        """Device or stack as they are used here, and the path of a quantity in it."""
        kind, _, rest = name.partition(".")
        device, stack = self.profiles
        return (stack, rest) if kind == "stack" else (device, name if kind == "link" else rest)

    @cached_property
    def profiles(self) -> tuple[Device, Stack]:
        """The device, and the stack as calibrated for it, with the what-ifs."""
        p = self.at({})
        return p.system.device, p.stack

    def _unit(self, name: str) -> str:
        if not name.startswith(PATHS):
            return "1"
        profile, path = self._profile(name)
        return str(profile.datum(path).dimension)[1:-1]

    def _end(self, name: str, unit: str, end: Any) -> float:
        if not isinstance(end, str):
            return float(end)
        if name.startswith(PATHS):
            profile, path = self._profile(name)
            return float(profile.replace(**{path: end}).datum(path).value)
        return parse(end).value


_HINT = "Quantities are fields of the job, count, what-if paths and using.TECHNIQUE.PARAMETER"


def tried_values(domain: Domain) -> list[float]:
    """Values from the low to the high end: all whole numbers, or equal ratios where the low end is above zero."""
    low, high = domain.low, domain.high
    if domain.whole and high - low < EVERY:
        return list(range(int(low), int(high) + 1))
    shares = [i / (TRIED - 1) for i in range(TRIED)]
    values = [low * (high / low) ** s if low > 0 else low + (high - low) * s for s in shares]
    values = [low, *values[1:-1], high]
    return sorted({round(v) for v in values}) if domain.whole else values
