"""Duty cycle of a prediction: a device that works on a frame, rests, and works again, with its sensor and radio."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from perfsim.catalog import device as find_device
from perfsim.costs.duty import battery_life, duty_share, race_energy
from perfsim.devices import Device
from perfsim.errors import InputError, UnitError, checked_type
from perfsim.prediction.predict import predict
from perfsim.prediction.prediction import Prediction
from perfsim.quantities.units import DIMENSIONS, parse_as
from perfsim.workloads import Job

__all__ = ["REST", "DutyCycle", "duty_cycle", "duty_cycles", "least_power_first"]

REST = ("sleep", "idle")
"""What a device can do between frames."""


@dataclass(frozen=True)
class DutyCycle:
    """One device at a frame rate.

    point: operating point, or ""; frame_rate [1/s]; share: of the time in which it works [1]; keeps_up: whether it
    meets the rate, which nothing does that does not fit the memory; energy: per frame, rest included [J]; power: mean,
    with sensor and radio [W]; battery_life [s], None without a battery.
    """

    point: str
    frame_rate: float
    share: float
    keeps_up: bool
    energy: float
    power: float
    battery_life: float | None

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return dict(vars(self))


def duty_cycle(
    prediction: Prediction, *, frame_rate: float, battery: str | float | None = None, sensor: str | float = 0.0,
    radio: str | float = 0.0, rest: str = "sleep",
) -> DutyCycle:  # fmt: skip
    """The predicted job once per frame: race to the end, then ``rest`` until the next frame.

    prediction: of one frame; frame_rate [1/s]; battery: e.g. ``"0.9 Wh"`` or [J]; sensor, radio: declared mean power,
    e.g. ``"4.5 mW"`` or [W]; rest: ``sleep`` or ``idle``, by the device's own figures, or a power, e.g. ``"2 mW"``.

    Raises
    ------
    InputError, UnitError
        for a rate that is not above 0, an unknown rest, or a device whose power, at work or at rest, is not known.
    """
    checked_type("prediction", prediction, Prediction, "what perfsim.predict returns")
    if isinstance(frame_rate, bool) or not isinstance(frame_rate, int | float) or not 0 < frame_rate < 1e9:
        raise InputError(f"frame_rate={frame_rate!r}: expected frames per second, above 0 and below 1e9")
    device = prediction.system.device
    if prediction.energy is None:
        raise InputError(f"device {device.key}: no source gives its power; a duty cycle needs power.active")
    runtime = float(prediction.runtime)
    energy = float(
        race_energy(energy=prediction.energy, runtime=runtime, frame_rate=frame_rate, rest=_resting(device, rest))
    )
    share = float(duty_share(runtime=runtime, frame_rate=frame_rate))
    beside = _watts(sensor) + _watts(radio)
    power = energy * min(frame_rate, 1 / runtime) + beside
    charge = None if battery is None else _joules(battery)
    life = None if charge is None else float(battery_life(battery=charge, power=power))
    point = str(device.info.get("operating_point", ""))
    keeps_up = share <= 1 and prediction.memory.fits is not False
    return DutyCycle(point, float(frame_rate), share, keeps_up, energy, power, life)


def duty_cycles(
    model: Any, job: Job, on: str | Device, *, stack: Any = "ideal", frame_rate: float, **fields: Any
) -> Mapping[str, DutyCycle]:
    """The duty cycle at every operating point of a device, least power first; points that are too slow come last.

    So race-to-idle (a fast point, then rest) meets slow-and-steady (the slowest point that keeps up).

    Raises
    ------
    InputError
        if the device has no operating points; otherwise as :func:`duty_cycle`.
    """
    on = find_device(on)
    if not on.points:
        raise InputError(f"device {on.key} has no operating points to compare; use duty_cycle")
    found = (
        duty_cycle(predict(model, job, on.at(point), stack=stack), frame_rate=frame_rate, **fields)
        for point in on.points
    )
    return {cycle.point: cycle for cycle in least_power_first(found)}


def least_power_first(cycles: Iterable[DutyCycle]) -> list[DutyCycle]:
    """Duty cycles in the order of their mean power; those that are too slow for the rate come last."""
    return sorted(cycles, key=lambda cycle: (not cycle.keeps_up, cycle.power))


def _resting(device: Device, rest: str) -> float:
    """Power between frames [W]: the device's own figure, never that of a running job in its place."""
    if rest not in REST:
        try:
            return _watts(rest)
        except UnitError as error:
            raise InputError(f'rest="{rest}": expected {", ".join(REST)}, or a power such as "2 mW"') from error
    stated = device.get(f"power.{rest}")
    if stated is None:
        raise InputError(
            f"device {device.key}: no source gives its power at rest (power.{rest}); state it, e.g. rest=\"2 mW\""
        )
    return float(stated)


def _watts(value: str | float) -> float:
    checked_type("power", value, (str, int, float), 'a number of watts, or a text such as "4.5 mW"')
    number = parse_as(value, DIMENSIONS["power"]) if isinstance(value, str) else float(value)
    if not number >= 0:
        raise InputError(f"{value!r}: expected a power of at least 0")
    return float(number)


def _joules(value: str | float) -> float:
    checked_type("battery", value, (str, int, float), 'a number of joules, or a text such as "0.9 Wh"')
    number = parse_as(value, DIMENSIONS["energy"]) if isinstance(value, str) else float(value)
    if not number > 0:
        raise InputError(f"battery={value!r}: expected an energy above 0, e.g. \"0.9 Wh\"")
    return float(number)
