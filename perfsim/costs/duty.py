"""Frames at a required rate: how a chip spends the time between them, and how long a battery lasts."""

from __future__ import annotations

from perfsim.quantities.numbers import Number, maximum

__all__ = ["battery_life", "duty_share", "race_energy", "steady_energy"]


def duty_share(*, runtime: Number, frame_rate: Number) -> Number:
    """Share of the time in which a frame is worked on [1]; above 1 the rate cannot be kept.

    runtime: of one frame [s]; frame_rate [1/s].
    """
    return runtime * frame_rate


def race_energy(*, energy: Number, runtime: Number, frame_rate: Number, rest: Number) -> Number:
    """Energy per frame of running at full speed, then resting until the next frame [J].

    energy: of one frame [J]; runtime [s]; frame_rate [1/s]; rest: power between frames, asleep or idle [W].
    """
    return energy + rest * maximum(1 / frame_rate - runtime, 0)


def steady_energy(*, energy: Number, runtime: Number, frame_rate: Number, static: Number) -> Number:
    """Energy per frame of a clock slowed down, at the same voltage, until the frame fills its period [J].

    Cycles cost the same at any clock; what does not switch is paid for longer. energy: of one frame at full clock [J];
    runtime: at full clock [s]; frame_rate [1/s]; static: power that does not depend on the clock [W].

    References
    ----------
    .. [1] A. Chandrakasan, S. Sheng, R. Brodersen, "Low-power CMOS digital design", IEEE JSSC 27(4), 1992.
    """
    return energy + static * maximum(1 / frame_rate - runtime, 0)


def battery_life(*, battery: Number, power: Number) -> Number:
    """Time that a charge lasts [s]: battery [J] over mean power [W]."""
    return battery / power
