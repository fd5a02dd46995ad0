"""Axes of a sweep: grids, zipped columns, lists of points and samples, all made of one small thing."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

from perfsim.errors import InputError
from perfsim.quantities.units import factor_of, parse

__all__ = ["Axis", "grid", "latin_hypercube", "points", "read_values", "sobol", "uniform", "zipped"]

MOST_VALUES = 10**7
"""Most values of one axis."""


@dataclass(frozen=True, eq=False)
class Axis:
    """One dimension of the result.

    name: of the dimension; columns: what varies along it, by name, each with one value per row. Names are fields of
    the job (``batch``), what-if paths (``device.memory.hbm.bandwidth``), parameters of techniques
    (``using.weight-quantization.group``), or ``model``, ``device``, ``stack``, ``count``, ``using``.
    """

    name: str
    columns: Mapping[str, Sequence[Any]]

    def __post_init__(self) -> None:
        lengths = {name: len(values) for name, values in self.columns.items()}
        if len(set(lengths.values())) != 1:
            stated = ", ".join(f"{name} has {n}" for name, n in lengths.items()) or "there is none"
            raise InputError(f"axis {self.name}: columns must be of one length, at least one of them; {stated}")
        if not 1 <= len(self) <= MOST_VALUES:
            raise InputError(f"axis {self.name}: {len(self)} values, expected 1 to {MOST_VALUES:,}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def _listed(name: str, values: Any) -> Sequence[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"axis {name}: {values!r} is {type(values).__name__}, expected a list of values")
    found = values.tolist() if hasattr(values, "tolist") else list(values)
    return tuple(found)


def grid(columns: Mapping[str, Iterable[Any]]) -> list[Axis]:
    """One dimension per column: every combination.

    Raises
    ------
    InputError
        if a column is no list, or empty.
    """
    return [Axis(name, {name: _listed(name, values)}) for name, values in columns.items()]


def zipped(columns: Mapping[str, Iterable[Any]], name: str = "point") -> list[Axis]:
    """One dimension along which all columns vary together, row by row.

    Raises
    ------
    InputError
        if the columns differ in length.
    """
    return [Axis(name, {column: _listed(column, values) for column, values in columns.items()})]


def points(rows: Iterable[Mapping[str, Any]], name: str = "point") -> list[Axis]:
    """One dimension with one row per point, e.g. ``[{"batch": 1, "prompt_tokens": 128}, ...]``.

    Raises
    ------
    InputError
        if the points do not all state the same names.
    """
    found = list(rows)
    names = list(found[0]) if found else []
    for row in found:
        if set(row) != set(names):
            raise InputError(f"points: one states {', '.join(row)}, the first one {', '.join(names)}; state the same")
    return zipped({column: [row[column] for row in found] for column in names}, name)


def sobol(count: int, ranges: Mapping[str, Sequence[Any]], seed: int = 0, name: str = "sample") -> list[Axis]:
    """``count`` points of a scrambled Sobol sequence; best for powers of two.

    ranges: by name ``(low, high)``, as numbers or texts with a unit, or ``(low, high, "log")`` for equal shares per
    octave; whole numbers give whole numbers.

    References
    ----------
    .. [1] I. Sobol, USSR Comput. Math. Math. Phys. 7, 1967; A. Owen, J. Complexity 14, 1998 (scrambling).
    """
    from scipy.stats import qmc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # balance of counts that are no power of two
        unit = qmc.Sobol(len(ranges), seed=seed).random(_count(count))
    return _sampled(unit, ranges, name)


def latin_hypercube(count: int, ranges: Mapping[str, Sequence[Any]], seed: int = 0, name: str = "sample") -> list[Axis]:
    """``count`` points of a Latin hypercube: each of ``count`` slices of every range is hit once.

    References
    ----------
    .. [1] M. McKay, R. Beckman, W. Conover, Technometrics 21, 1979.
    """
    from scipy.stats import qmc

    return _sampled(qmc.LatinHypercube(len(ranges), seed=seed).random(_count(count)), ranges, name)


def uniform(count: int, ranges: Mapping[str, Sequence[Any]], seed: int = 0, name: str = "sample") -> list[Axis]:
    """``count`` independent random points."""
    import numpy as np

    return _sampled(np.random.default_rng(seed).random((_count(count), len(ranges))), ranges, name)


def _count(count: int) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_VALUES:
        raise InputError(f"samples: {count!r}, expected a whole number, 1 to {MOST_VALUES:,}")
    return count


def _sampled(unit: Any, ranges: Mapping[str, Sequence[Any]], name: str) -> list[Axis]:
    columns = {}
    for share, (column, bounds) in zip(unit.T, ranges.items(), strict=True):
        if len(bounds) not in (2, 3) or (len(bounds) == 3 and bounds[2] != "log"):
            raise InputError(f'range of {column}: {bounds!r}, expected (low, high) or (low, high, "log")')
        low, high = (parse(b).value if isinstance(b, str) else b for b in bounds[:2])
        whole = isinstance(low, int) and isinstance(high, int)
        if not low < high or (len(bounds) == 3 and low <= 0):
            raise InputError(f"range of {column}: {bounds!r}, expected low < high, both above 0 for a log range")
        top = high + 1 if whole else high
        values = low * (top / low) ** share if len(bounds) == 3 else low + (top - low) * share
        columns[column] = [min(int(v), high) if whole else float(v) for v in values]
    return zipped(columns, name)


_LARGEST = 1e150
"""Largest number of a range; NaN and infinity lie above it, too."""

_PLAIN = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|nan|inf)", re.ASCII)
"""A number in the digits 0 to 9, finite or not; what else Python reads as one (``1_000``) is a text."""


def read_values(name: str, text: str) -> list[Any]:
    """Values of ``a,b,c``, ``low:high:step`` or ``low:high:xfactor``; ranges end at the last value not above ``high``.

    Whole numbers become ``int``, texts with a unit stay texts. Values of a what-if path are all texts, so that a bare
    number is refused where the quantity has a unit, as ``--set`` does.

    Raises
    ------
    InputError, UnitError
        for a text of another form, or more than :data:`MOST_VALUES` values.
    """
    parts = [part.strip() for part in text.split(":")]
    path = name.partition(".")[0] in ("device", "stack", "link") and "." in name
    if len(parts) == 1:
        values = [part.strip() for part in text.split(",")]
        if not all(values):
            raise InputError(f'--vary {name}="{text}": an empty value; expected a,b,c')
        return list(values) if path else [_value(value) for value in values]
    if len(parts) != 3 or not all(parts):
        raise InputError(f'--vary {name}="{text}": expected a,b,c or low:high:step or low:high:x2')
    low, high = _value(parts[0]), _value(parts[1])
    factor = factor_of(parts[2])
    if isinstance(low, str) or isinstance(high, str):
        return _with_unit(name, text, parts, factor, path)
    step = _value(parts[2]) if factor is None else factor
    found = _run(name, text, low, high, step, factor is not None)
    return [repr(value) for value in found] if path else found


def _with_unit(name: str, text: str, parts: list[str], factor: float | None, path: bool) -> list[Any]:
    low, high = parse(parts[0]), parse(parts[1])
    step = parse(parts[2]) if factor is None else None
    if low.dimension != high.dimension or (step is not None and step.dimension != low.dimension):
        raise InputError(f'--vary {name}="{text}": the units differ; state one kind of unit')
    number = step.value if factor is None else factor  # type: ignore[union-attr]
    found = map(float, _run(name, text, low.value, high.value, number, factor is not None))
    return [f"{value!r} {str(low.dimension)[1:-1]}" for value in found] if path else list(found)


def _run(name: str, text: str, low: Any, high: Any, step: Any, geometric: bool) -> list[Any]:
    finite = not isinstance(step, str) and all(abs(number) <= _LARGEST for number in (low, high, step))
    if not finite or high < low or (step <= 1 or low <= 0 if geometric else step <= 0):
        raise InputError(
            f'--vary {name}="{text}": expected finite numbers, low <= high, and a step above 0, or a factor above 1 '
            f"from a low above 0"
        )
    steps = (log(high) - log(low)) / log(step) if geometric else (high - low) / step
    if steps >= MOST_VALUES:
        wider = "a larger factor" if geometric else "a larger step"
        raise InputError(f'--vary {name}="{text}": more than {MOST_VALUES:,} values on one axis; take {wider}')
    slack = 1e-9 * abs(high)
    values: list[Any] = []
    count = 0
    while True:
        value = low * step**count if geometric else low + step * count
        if value > high + slack:
            return values
        whole = isinstance(low, int) and float(value).is_integer()
        values.append(int(value) if whole else (int(value) if geometric and isinstance(low, int) else float(value)))
        count += 1


def _value(text: str) -> Any:
    if not _PLAIN.fullmatch(text):
        return text
    try:
        return int(text)
    except ValueError:  # not whole, or of more digits than Python reads
        return float(text)
