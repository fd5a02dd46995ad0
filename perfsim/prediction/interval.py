"""How far a prediction can be off: the residuals of the stack's calibration, wider where the data is silent."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.devices import Calibration, Stack
from perfsim.workloads import Job, Layout

__all__ = ["Interval", "runtime_interval", "unmeasured"]

SILENCE = 1.5
"""Factor on the logarithmic half-widths of the interval for each way in which a job leaves the calibrated range.
A judgement, not a measurement: the interval must grow where nothing was measured."""

UNKNOWN = (0.5, 2.0)
"""Measured over predicted for a stack that was never compared with any measurement."""


@dataclass(frozen=True)
class Interval:
    """low, high: bounds of a phase over its expected runtime [1], by phase; why: where they come from."""

    low: float
    high: float
    why: str
    prefill_low: float
    prefill_high: float

    def bounds(self, phase: str) -> tuple[float, float]:
        """Lower and upper factor for a phase."""
        return (self.prefill_low, self.prefill_high) if phase == "prefill" else (self.low, self.high)


def runtime_interval(
    stack: Stack, known: list[Calibration], job: Job, layout: Layout, device: str, techniques: tuple[str, ...] = (),
    changed: tuple[str, ...] = (), family: str = "",
) -> Interval:
    """Relative interval of the runtime, from the 5th and 95th percentile of measured over predicted.

    stack: resolved for the device; known: all calibrations of the stack, used where it has none for this device;
    techniques: names of those applied, other than the layout; changed: quantities set by the user; family: of the
    model, empty if it does not matter. The runtime itself always lies inside.
    """
    if stack.on_chip:
        return _even(1.0, 1.0, "the ideal stack is a lower bound, not an expectation")
    base, reasons = stack.calibration, []
    single = base is None and len(known) == 1
    elsewhere = stack.jobs[0] != job.purpose
    if base is None and known:
        base = _envelope(known)
        reasons.append(f"no measurement of {stack.key} on {device}")
    if base is None:
        return _even(*UNKNOWN, f"{stack.key} was not compared with measurements")
    reasons += unmeasured(stack, family)
    reasons += [f"{job.purpose} was not measured"] if elsewhere else []
    if base.dtypes and job.dtype not in base.dtypes:
        reasons.append(f"{job.dtype} was not measured")
    if isinstance(job.batch, int) and job.batch > base.batch:
        reasons.append(f"batch above {base.batch} was not measured")
    if layout.tensor * layout.pipeline > base.group:
        reasons.append(f"more than {base.group} device(s) per replica were not measured")
    reasons += [f"{name} was not measured" for name in techniques if name not in (*base.techniques, *base.always)]
    reasons += [f"runs without {name} were not measured" for name in base.always if name not in techniques]
    reasons += [f"{path} was changed" for path in changed]
    widen = SILENCE ** len(reasons)
    why = f"5th to 95th percentile of measured/predicted over {base.rows} rows of {base.source}"
    if reasons:
        why += f"; widened, because {' and '.join(reasons)}"
    if single:
        why += ", to a factor of two at least, because one kind of device does not tell how devices differ"
    if elsewhere:
        why += f", to a factor of two at least, because {stack.jobs[0]} does not tell how {job.purpose} goes"
    least, most = UNKNOWN if single or elsewhere else (1.0, 1.0)
    prefill_low, prefill_high = base.prefill_low or base.low, base.prefill_high or base.high
    low, prompt_low = (min(least, min(1.0, factor) ** widen) for factor in (base.low, prefill_low))
    high, prompt_high = (max(most, max(1.0, factor) ** widen) for factor in (base.high, prefill_high))
    return Interval(low, high, why, prompt_low, prompt_high)


def unmeasured(stack: Stack, family: str) -> list[str]:
    """Why the calibration of ``stack`` says little about a family of models; empty if it was measured."""
    if not stack.measured or not family or family in stack.measured:
        return []
    known = " and ".join(f"{each}s" for each in stack.measured)
    return [f"{stack.key} was compared with measurements of {known} only, not of a {family}"]


def _even(low: float, high: float, why: str) -> Interval:
    return Interval(low, high, why, low, high)


def _envelope(known: list[Calibration]) -> Calibration:
    """The widest of several calibrations, for devices without one."""
    return Calibration(
        low=min(c.low for c in known),
        high=max(c.high for c in known),
        rows=sum(c.rows for c in known),
        source="calibrations on other devices",
        batch=max(c.batch for c in known),
        group=max(c.group for c in known),
        prefill_low=min(c.prefill_low or c.low for c in known),
        prefill_high=max(c.prefill_high or c.high for c in known),
        techniques=tuple(dict.fromkeys(name for c in known for name in (*c.techniques, *c.always))),
        always=tuple(name for name in known[0].always if all(name in c.always for c in known)),
    )
