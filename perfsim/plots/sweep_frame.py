"""What the figures of sweeps share: names with units, axes in readable prefixes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perfsim.errors import InputError, UnknownNameError
from perfsim.plots.frame import Scale, scale_of
from perfsim.sweeps.metrics import METRICS

if TYPE_CHECKING:
    import xarray

__all__ = ["Quantity", "heading", "numbers_along", "quantity", "short", "spaced", "variable"]

_PREFIXED = ("s", "J", "W", "byte", "byte/s", "FLOP", "FLOP/s", "Hz")
"""Units that take a prefix."""


def short(name: str) -> str:
    """The last two parts of a path: ``hbm.bandwidth``."""
    return ".".join(name.split(".")[-2:]).replace("_", " ")


def heading(name: str, unit: str, largest: float) -> tuple[str, Scale]:
    """Label of an axis, and the factor by which its numbers are divided."""
    if unit not in _PREFIXED:
        return f"{short(name)} [{unit}]" if unit not in ("", "1") else short(name), Scale(1.0, unit)
    scale = scale_of(largest, unit.replace("byte", "B"))
    return f"{short(name)} [{scale.unit}]", scale


@dataclass(frozen=True)
class Quantity:
    """Numbers in the unit of a label: ``values`` times ``factor`` are SI units."""

    label: str
    factor: float
    values: Any


def quantity(name: str, unit: str, values: Any) -> Quantity:
    """Numbers in SI units, in the prefix in which the largest that is finite is readable."""
    import numpy as np

    numbers = np.asarray(values, dtype=float)
    label, scale = heading(name, unit, float(np.ma.masked_invalid(numbers).max()))
    return Quantity(label, scale.factor, numbers / scale.factor)


def variable(dataset: xarray.Dataset, name: str) -> Any:
    """A variable of a sweep.

    Raises
    ------
    UnknownNameError, InputError
        if there is none of this name, or it is no number.
    """
    if name not in dataset.data_vars:
        raise UnknownNameError("variable of the sweep", name, [str(v) for v in dataset.data_vars])
    if name in METRICS and METRICS[name].choices:
        raise InputError(f"{name} counts names and has no size; expected e.g. runtime or cost")
    return dataset[name]


def numbers_along(dataset: xarray.Dataset, name: str) -> tuple[Any, str]:
    """Values along a dimension, and their unit.

    Raises
    ------
    UnknownNameError, InputError
        if the sweep has no such dimension, or names lie along it.
    """
    if name not in dataset.dims:
        raise UnknownNameError("dimension of the sweep", name, [str(d) for d in dataset.dims])
    values = dataset[name]
    if values.dtype.kind not in "iuf":
        raise InputError(f"{name} holds names, expected numbers; select one of them first")
    return values.values.astype(float), str(values.attrs.get("units", "1"))


def spaced(values: Any) -> str:
    """``log`` where the values grow by about equal ratios, else ``linear``."""
    low, high = float(min(values)), float(max(values))
    if len(values) < 3 or low <= 0 or high / low < 8:
        return "linear"
    middle = sorted(map(float, values))[len(values) // 2]
    return "log" if middle < (low + high) / 3 else "linear"
