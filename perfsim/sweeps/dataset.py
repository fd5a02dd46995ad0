"""Results of sweeps as ``xarray.Dataset``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perfsim.catalog import device as find_device
from perfsim.catalog import stack as find_stack
from perfsim.devices import Device, System
from perfsim.errors import PerfsimError
from perfsim.sweeps.metrics import METRICS

if TYPE_CHECKING:
    import xarray

    from perfsim.sweeps.sweep import Sweep
    from perfsim.sweeps.variant import Result

__all__ = ["coordinate", "to_dataset"]

MOST_REASONS = 20


def coordinate(plan: Sweep, column: str) -> tuple[Any, str]:
    """Values of a column for people and files, and their unit: names as texts, quantities in SI."""
    import numpy as np

    from perfsim.sweeps.sweep import quantity

    axis = next(axis for axis in plan.axes if column in axis.columns)
    values = axis.columns[column]
    kind, dot, rest = column.partition(".")
    if not dot or kind in ("using", "model") or column == "device.operating_point":
        plain = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        return np.asarray(values if plain else [_name(v) for v in values]), ("1" if plain else "")
    if any(isinstance(v, str) and v.strip().startswith("x") for v in values):
        return np.asarray([str(v) for v in values]), ""
    on = _first(plan, "device")
    target = on if isinstance(on, System) else System(on if isinstance(on, Device) else find_device(on))
    stack = find_stack(_first(plan, "stack"))
    numbers = np.array([quantity(target, stack, column, value) for value in values])
    try:
        profile = stack if kind == "stack" else target.device
        unit = str(profile.datum(column if kind == "link" else rest).dimension)[1:-1]
    except PerfsimError:
        unit = ""
    return numbers, unit


def _first(plan: Sweep, name: str) -> Any:
    for axis in plan.axes:
        if name in axis.columns:
            return axis.columns[name][0]
    return plan.base[name]


def _name(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(_name(v) for v in value) or "none"
    for attribute in ("key", "name"):
        if isinstance(getattr(value, attribute, None), str) and not isinstance(value, str):
            return str(value) if hasattr(value, "rewritten") else str(getattr(value, attribute))
    if hasattr(value, "device"):
        return f"{value.count} x {value.device.key}"
    return str(value)


def to_dataset(plan: Sweep, result: Result) -> xarray.Dataset:
    """``result`` of a whole sweep with its coordinates; arrays are views, repeated along what they do not depend on."""
    import numpy as np
    import xarray

    dims = [axis.name for axis in plan.axes]
    coords: dict[str, Any] = {}
    for axis in plan.axes:
        for column in axis.columns:
            values, unit = coordinate(plan, column)
            coords[column] = (axis.name, values, {"units": unit} if unit else {})
    for name in ("model", "device", "stack", "count"):
        if name in plan.base and plan.base[name] is not None:
            coords[name] = ((), _name(plan.base[name]) if name != "count" else plan.base[name])
    variables: dict[str, Any] = {}
    for name in (*plan.metrics, "refused"):
        metric = METRICS.get(name)
        values = np.broadcast_to(result[name], plan.sizes)
        notes: dict[str, Any] = {}
        if metric is not None:
            notes = {"units": metric.unit, "long_name": metric.meaning}
            if metric.choices:
                codes = np.where(np.isnan(result[name]), -1, result[name]).astype(np.int8)
                values = np.broadcast_to(codes, plan.sizes)
                notes |= {
                    "flag_values": np.arange(-1, len(metric.choices), dtype=np.int8),
                    "flag_meanings": " ".join(("refused", *metric.choices)),
                }
        variables[name] = (dims, values, {k: v for k, v in notes.items() if not isinstance(v, str) or v})
    attrs = {"job": repr(plan.job), "refused": list(_reasons(plan))} if plan.refusals else {"job": repr(plan.job)}
    return xarray.Dataset(variables, coords, attrs)


def _reasons(plan: Sweep) -> Sequence[str]:
    return sorted(plan.refusals)[:MOST_REASONS]
