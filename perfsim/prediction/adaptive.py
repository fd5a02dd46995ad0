"""Adaptive inference: expected cost and its distribution from shares or from a trace of decisions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from perfsim.errors import InputError
from perfsim.prediction.prediction import Prediction

__all__ = ["Distribution", "cascade_paths", "of_shares", "of_trace", "pipeline_rate", "read_trace", "share_front"]


@dataclass(frozen=True)
class Distribution:
    """Cost per input as (value, probability) pairs, values rising; any unit: seconds, joules, operations."""

    points: tuple[tuple[float, float], ...]

    @property
    def mean(self) -> float:
        """Expected cost."""
        return math.fsum(value * share for value, share in self.points)

    @property
    def deviation(self) -> float:
        """Standard deviation."""
        mean = self.mean
        return math.sqrt(math.fsum(share * (value - mean) ** 2 for value, share in self.points))

    def quantile(self, probability: float) -> float:
        """Least value that a cost does not exceed with ``probability`` [unit of the cost].

        Raises
        ------
        InputError
            if ``probability`` is not between 0 and 1.
        """
        if not 0 <= probability <= 1:
            raise InputError(f"probability={probability}: expected 0 to 1")
        reached = 0.0
        for value, share in self.points:
            reached += share
            if reached >= probability - 1e-12:
                return value
        return self.points[-1][0]


def of_shares(costs: Mapping[str, float], shares: Mapping[str, float]) -> Distribution:
    """Distribution of the cost of an input that takes path ``name`` with probability ``shares[name]``.

    Raises
    ------
    InputError
        if paths and shares differ, or the shares do not add up to 1.
    """
    if set(costs) != set(shares):
        paths, stated = (", ".join(sorted(names)) for names in (costs, shares))
        raise InputError(f"paths {paths} and shares of {stated}: expected the same names")
    if any(share < 0 for share in shares.values()) or not math.isclose(math.fsum(shares.values()), 1, abs_tol=1e-9):
        raise InputError(f"shares {dict(shares)}: expected numbers of at least 0 that add up to 1")
    return Distribution(tuple(sorted((float(costs[name]), float(shares[name])) for name in costs if shares[name])))


def of_trace(costs: Mapping[str, float], trace: Sequence[str], change: float = 0.0) -> Distribution:
    """Distribution over the inputs of a trace of paths; ``change``: extra cost of an input whose path differs from the
    last.

    Raises
    ------
    InputError
        if the trace is empty or names an unknown path.
    """
    unknown = sorted(set(trace) - set(costs))
    if not trace or unknown:
        raise InputError(f"trace with {', '.join(unknown) or 'no inputs'}: expected some of {', '.join(sorted(costs))}")
    before = [trace[0], *trace[:-1]]
    paid = [float(costs[path]) + (change if path != last else 0.0) for path, last in zip(trace, before, strict=True)]
    return Distribution(tuple((value, paid.count(value) / len(paid)) for value in sorted(set(paid))))


def read_trace(path: str) -> tuple[str, ...]:
    """Decisions from a text file: one path per line, or separated by commas; empty ones are left out.

    Raises
    ------
    InputError
        if the file cannot be read or holds none.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"trace {path}: cannot be read ({error})") from None
    decisions = tuple(item.strip() for item in text.replace("\n", ",").split(",") if item.strip())
    if not decisions:
        raise InputError(f"trace {path}: holds no decisions; expected one path per line, e.g. small or big")
    return decisions


def cascade_paths(*, small: float, big: float, auxiliary: float, escalate: bool) -> dict[str, float]:
    """Cost of an input that stays with the small network, and of one that goes to the big one (unit of the
    arguments).
    """
    return {"small": small + auxiliary, "big": big + auxiliary + (small if escalate else 0.0)}


def share_front(
    *, small: Prediction, big: Prediction, shares: Sequence[float], auxiliary: float = 0.0, escalate: bool = False
) -> list[dict[str, float]]:
    """Expected runtime [s] and energy [J] of a cascade over the share of inputs that the big network sees.

    auxiliary: work of the decision over that of the small network [1]; energies are left out where a device has no
    power data. Sorted by share.
    """
    front = []
    for share in sorted(shares):
        row = {"share": share}
        for metric in ("runtime", "energy"):
            values = [getattr(prediction, metric) for prediction in (small, big)]
            if None not in values:
                paths = cascade_paths(
                    small=values[0], big=values[1], auxiliary=auxiliary * values[0], escalate=escalate
                )
                row[metric] = of_shares(paths, {"small": 1 - share, "big": share}).mean
        front.append(row)
    return front


def pipeline_rate(stages: Mapping[str, float], workers: Mapping[str, int] | None = None) -> tuple[str, float]:
    """The slowest stage and the rate of a pipeline whose stages overlap [1/s].

    stages: seconds per input; workers: how many run side by side, one where not stated. min over stages of
    workers / seconds; the latency of one input is still the sum.

    Raises
    ------
    InputError
        if there is no stage that takes time.
    """
    rates = {name: (workers or {}).get(name, 1) / seconds for name, seconds in stages.items() if seconds > 0}
    if not rates:
        raise InputError("pipeline without a stage that takes time; expected seconds by stage")
    slowest = min(rates, key=lambda name: rates[name])
    return slowest, rates[slowest]
