"""Numbers of the stacks of microcontrollers, fitted together: what one stack on one kind of core leaves open, the
others narrow down.

``python -m perfsim.validation.pooling`` prints them, ``... networks`` and ``... devices`` the errors where a network is
left out of a stack, or a kind of core.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from perfsim.catalog.files import data_root
from perfsim.catalog.hardware import device, stack
from perfsim.devices import Device
from perfsim.errors import InputError, PerfsimError
from perfsim.graph import Unit
from perfsim.quantities.dtypes import DTYPES
from perfsim.validation.repricing import planned_row
from perfsim.validation.rows import Row, read_rows

__all__ = ["FAMILIES", "Group", "Pool", "Sample", "groups_of", "left_out", "main", "parameters_of", "pool", "sample_of"]

PARAMETERS = ("compute_efficiency", "tile_setup", "bandwidth_efficiency")
Cycles = tuple[float, float, float]
"""Cycles per multiply-accumulate, per row of sums that is started, and per byte that comes in [cycle]."""

TYPICAL: Cycles = (1.5, 60.0, 1.0)
SPREAD: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {"all": (2.0, 2.0, 2.0), "family": (0.6, 0.7, 0.3), "core": (0.4, 0.2, 0.4), "pair": (0.2, 0.3, 0.3)}
)
"""By how much ln(cycles) may deviate [1], one standard deviation: all from the typical values, a family of kernels and
a kind of core from all, one family on one core from both. Stated beforehand; the mean errors of networks and of cores
left out change by less than two points where any of the four is halved or doubled."""

NOISE = 0.05
"""Standard deviation of ln(predicted/measured) that a row may have for nothing [1]."""

FAMILIES: Mapping[tuple[str, str], str] = MappingProxyType({("x-cube-ai", "stm32h747"): "x-cube-ai-8.1"})
"""Stack and device whose rows were measured with the kernels of another stack: version 10 there."""


UNSTATED = ("stm32h743",)
"""Devices that are a kind of core of their own: their table does not state at which clock they ran."""


@dataclass(frozen=True)
class Sample:
    """One row, in cycles of the core.

    work: multiply-accumulates, rows of sums, and bytes, of which each has a number; rest: what no number changes, sums
    and clips outside of products [cycle]; measured [cycle].
    """

    row: Row
    work: Cycles
    rest: float
    measured: float

    def predicted(self, cycles: Cycles) -> float:
        """Cycles of the whole network [cycle]."""
        return self.rest + sum(share * each for share, each in zip(self.work, cycles, strict=True))

    def error(self, cycles: Cycles) -> float:
        """ln(predicted/measured) [1]."""
        return math.log(self.predicted(cycles) / self.measured)


@dataclass(frozen=True)
class Group:
    """Rows of one family of kernels on one kind of core."""

    family: str
    core: str
    samples: tuple[Sample, ...]

    def without(self, dropped: Callable[[Group, Sample], bool]) -> Group:
        """The group less some of its samples."""
        return replace(self, samples=tuple(sample for sample in self.samples if not dropped(self, sample)))


@dataclass(frozen=True)
class Pool:
    """A fit: deviations of ln(cycles) by kind and name; ``cycles`` adds them up."""

    parts: Mapping[tuple[str, str], Cycles]

    def cycles(self, family: str, core: str) -> Cycles:
        """Numbers of a family of kernels on a kind of core, fitted or not."""
        keys = (("all", ""), ("family", family), ("core", core), ("pair", f"{family} {core}"))
        found = [self.parts[key] for key in keys if key in self.parts]
        a, b, c = (math.exp(sum(part[index] for part in found)) for index in range(3))
        return a, b, c


def parameters_of(cycles: Cycles, on: Device) -> dict[str, float]:
    """The three numbers as parameters of a stack on a device: shares of its peak and bus, and products per row."""
    rate = float(on.peak(Unit.VECTOR, DTYPES["int8"])) / 2 / _clock(on)
    width = float(on.bandwidth) / _clock(on)
    return dict(zip(PARAMETERS, (1 / (cycles[0] * rate), cycles[1] / cycles[0], 1 / (cycles[2] * width)), strict=True))


def _clock(on: Device) -> float:
    return float(on.get("clock.maximum"))


@lru_cache(maxsize=1024)
def sample_of(row: Row) -> Sample:
    """A row taken apart by the model itself: a core computes or waits, so its time is linear in the three numbers."""
    own, on = stack(row.stack).on(device(row.device)), device(row.device)

    def runtime(*numbers: float) -> float:
        return float(planned_row(row).repriced(own.replace(**dict(zip(PARAMETERS, numbers, strict=True)))).runtime)

    whole = runtime(1.0, 1.0, 1.0)
    started = runtime(1.0, 2.0, 1.0) - whole
    computing = runtime(0.5, 1.0, 1.0) - whole - started
    moving = runtime(1.0, 1.0, 0.5) - whole
    unit, clock = parameters_of((1.0, 1.0, 1.0), on), _clock(on)
    core, bus = clock / unit["compute_efficiency"], clock / unit["bandwidth_efficiency"]
    rest = (whole - computing - started - moving) * clock
    return Sample(row, (computing * core, started * core, moving * bus), rest, row.value * clock)


def groups_of(rows: Iterable[Row], fitted: bool | None = True) -> tuple[Group, ...]:
    """Times of microcontrollers by family and kind of core; ``fitted``: only those that a fit may see, or may not."""
    found: dict[tuple[str, str], list[Sample]] = {}
    for row in rows:
        if row.metric == "runtime" and fitted in (None, row.fitted):
            core = row.device if row.device in UNSTATED else device(row.device).base_key
            key = (FAMILIES.get((row.stack, row.device), row.stack), core)
            found.setdefault(key, []).append(sample_of(row))
    return tuple(Group(*key, tuple(samples)) for key, samples in sorted(found.items()))


def pool(groups: Sequence[Group]) -> Pool:
    """Least squares of ln(predicted/measured) of all rows, with deviations held to their spread (soft L1).

    Each network counts once per group, whoever submitted it.

    Raises
    ------
    InputError
        if scipy is not installed.
    """
    try:
        import numpy as np
        from scipy.optimize import least_squares
    except ImportError:
        raise InputError("a fit needs scipy, which is not installed; install it with: pip install scipy") from None
    keys, blocks = _blocks(groups)
    spread, typical = np.array([SPREAD[kind] for kind, _ in keys]), np.log(np.array(TYPICAL))

    def residuals(flat: Any) -> Any:
        parts = np.reshape(flat, (-1, 3)) * spread
        rows = [
            weight * np.log((work @ np.exp(typical + parts[used].sum(axis=0)) + rest) / measured)
            for used, work, rest, measured, weight in blocks
        ]
        return np.concatenate([*rows, flat])

    def slopes(flat: Any) -> Any:
        parts, found = np.reshape(flat, (-1, 3)) * spread, []
        for used, work, rest, _, weight in blocks:
            priced = work * np.exp(typical + parts[used].sum(axis=0))
            block = np.zeros((len(work), len(keys), 3))
            block[:, used, :] = (priced * (weight / (priced.sum(axis=1) + rest))[:, None])[:, None, :] * spread[used]
            found.append(block.reshape(len(work), -1))
        return np.concatenate([*found, np.eye(len(flat))])

    start = np.zeros(3 * len(keys))
    best = least_squares(residuals, start, jac=slopes, loss="soft_l1", f_scale=2.0, max_nfev=200).x
    parts = np.reshape(best, (-1, 3)) * spread
    parts[0] += typical
    return Pool({key: (float(a), float(b), float(c)) for key, (a, b, c) in zip(keys, parts, strict=True)})


def _blocks(groups: Sequence[Group]) -> tuple[dict[tuple[str, str], int], list[Any]]:
    """Index of every deviation, and of each group: its indices, work, rest and measured cycles, and weight of a row."""
    import numpy as np

    keys: dict[tuple[str, str], int] = {("all", ""): 0}
    blocks = []
    for group in (group for group in groups if group.samples):
        names = (("all", ""), ("family", group.family), ("core", group.core), ("pair", f"{group.family} {group.core}"))
        used = [keys.setdefault(name, len(keys)) for name in names]
        columns = (np.array([getattr(s, name) for s in group.samples]) for name in ("work", "rest", "measured"))
        blocks.append((used, *columns, 1 / (NOISE * np.sqrt(_repeats(group)))))
    return keys, blocks


def _repeats(group: Group) -> list[int]:
    names = [(sample.row.model, sample.row.job) for sample in group.samples]
    return [names.count(name) for name in names]


def left_out(groups: Sequence[Group], of: str) -> Iterator[tuple[Group, Sample, float]]:
    """Errors ln(predicted/measured) of rows that a fit has not seen.

    of: ``networks``: one network at a time is left out of all kinds of core of one family, the others still see it;
    ``devices``: one kind of core of a family that has several.

    Raises
    ------
    InputError
        for another word.
    """
    choices = {
        "networks": [(group.family, sample.row.model) for group in groups for sample in group.samples],
        "devices": [
            (group.family, group.core) for group in groups if sum(g.family == group.family for g in groups) > 1
        ],
    }
    if of not in choices:
        raise InputError(f'"{of}": expected networks or devices')
    for family, name in dict.fromkeys(choices[of]):

        def dropped(group: Group, sample: Sample, family: str = family, name: str = name) -> bool:
            return group.family == family and name in (sample.row.model, group.core)

        fit = pool([group.without(dropped) for group in groups])
        for group in groups:
            numbers = fit.cycles(group.family, group.core)
            yield from ((group, s, s.error(numbers)) for s in group.samples if dropped(group, s))


def main(arguments: Sequence[str]) -> int:
    """Print the pooled numbers, or the errors of what is left out; the exit code."""
    try:
        groups = groups_of(read_rows(data_root() / "measurements" / "mlperf-tiny.csv"))
        lines = _errors(groups, arguments[0]) if arguments else _numbers(groups)
        sys.stdout.write("\n".join(lines) + "\n")
    except PerfsimError as error:
        sys.stderr.write(f"perfsim: {' '.join(str(error).split())}\n")
        return error.exit_code
    return 0


def _numbers(groups: Sequence[Group]) -> Iterator[str]:
    fit = pool(groups)
    families = sorted({group.family for group in groups})
    for family in families:
        for core in sorted({group.core for group in groups}):
            own = [s for g in groups if (g.family, g.core) == (family, core) for s in g.samples]
            cycles = fit.cycles(family, core)
            shown = ", ".join(f"{name} = {value:.3g}" for name, value in parameters_of(cycles, device(core)).items())
            mean = 100 * sum(abs(math.expm1(s.error(cycles))) for s in own) / len(own) if own else math.nan
            yield f"{family} on {core}: {shown}; {len(own)} rows, mean error {mean:.1f} %"


def _errors(groups: Sequence[Group], of: str) -> Iterator[str]:
    errors = []
    for group, sample, error in left_out(groups, of):
        errors.append(abs(math.expm1(error)))
        yield f"{group.family} on {group.core}, {sample.row.model}: {100 * math.expm1(error):+.0f} %"
    errors.sort()
    yield (
        f"{len(errors)} rows: mean {100 * sum(errors) / len(errors):.1f} %, "
        f"median {100 * errors[len(errors) // 2]:.1f} %, largest {100 * errors[-1]:.0f} %"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
