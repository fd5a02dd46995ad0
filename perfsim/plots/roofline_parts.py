"""The data of a roofline figure, read off devices and predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perfsim.devices import Device
from perfsim.errors import InputError
from perfsim.prediction.prediction import Prediction

__all__ = ["Plotted", "roofline_data"]

Plotted = Device | Prediction | Sequence[Device | Prediction]

SAME = 0.002
"""Relative difference below which two peaks are one ceiling."""

_UNITS = {"tensor": "matrix", "vector": "vector"}
_SPARSE = {"tensor_sparse": "sparse matrix"}


def roofline_data(result: Plotted, *, sparse: bool = False) -> dict[str, Any]:
    """What :func:`perfsim.plots.roofline` draws, in SI units.

    sparse: whether peaks with structured sparsity are ceilings too. ``devices``: memory levels and ceilings, ``used``
    for those that the kernels of a prediction run at; ``predictions``: their titles; ``kernels``: rows with FLOPs and
    traffic; ``not_shown``: the others, which have no place on logarithmic axes.

    Raises
    ------
    InputError
        if there is nothing to draw, or a device has no peak or no main-memory bandwidth.
    """
    items = list(result) if isinstance(result, list | tuple) else [result]
    if not items:
        raise InputError("roofline: an empty list, expected devices or predictions")
    devices: list[dict[str, Any]] = []
    kernels: list[dict[str, Any]] = []
    hidden: list[dict[str, Any]] = []
    titles: list[str] = []
    for item in items:
        if not isinstance(item, Device | Prediction):
            raise InputError(f"roofline: {type(item).__name__} given, expected a Device or a Prediction")
        device = item.system.device if isinstance(item, Prediction) else item
        index = _device(devices, device, sparse)
        if isinstance(item, Prediction):
            _mark_used(devices[index]["ceilings"], item)
            for row in item.operators:
                shown, data = _kernel(row, item, len(titles), index)
                (kernels if shown else hidden).append(data)
            titles.append(f"{item.setup}: {item.job.words}")
    _number_equal_names(devices)
    return {"devices": devices, "predictions": titles, "kernels": kernels, "not_shown": hidden}


def _device(devices: list[dict[str, Any]], device: Device, sparse: bool) -> int:
    """Index of the device's entry, a new one unless an equal one is there."""
    entry = {"name": device.key, "title": device.name, "levels": _levels(device), "ceilings": _ceilings(device, sparse)}
    for index, known in enumerate(devices):
        if all(_without_used(known[key]) == _without_used(entry[key]) for key in entry):
            return index
    devices.append(entry)
    return len(devices) - 1


def _without_used(value: Any) -> Any:
    return [{k: v for k, v in part.items() if k != "used"} for part in value] if isinstance(value, list) else value


def _levels(device: Device) -> list[dict[str, Any]]:
    """Memory levels with a known bandwidth, fastest first; those of each core or compute unit all together."""
    device.bandwidth  # noqa: B018 - refuses a device without one
    levels = []
    for path, datum in device.paths("memory"):
        name, _, what = path.partition(".")
        scopes = [device.info.get(f"memory.{name}.{key}") for key in ("bandwidth_scope", "scope")]
        scope = next((s for s in scopes if s), "chip")
        count = 1 if scope == "chip" else device.info.get(f"memory.{name}.count")
        if what == "bandwidth" and count is not None:
            main, bandwidth = name == device.main_memory, datum.value * count
            levels.append({"name": name, "bandwidth": bandwidth, "main": main, "status": datum.status})
    return sorted(levels, key=lambda level: -level["bandwidth"])


def _ceilings(device: Device, sparse: bool) -> list[dict[str, Any]]:
    """Dense peaks, and sparse ones if wanted, highest first.

    Number formats with the same peak on the same unit are one ceiling.
    """
    ceilings: list[dict[str, Any]] = []
    for unit, name in {**_UNITS, **(_SPARSE if sparse else {})}.items():
        for dtype, peak in device.peaks(unit).items():
            same = (c for c in ceilings if c["unit"] == name and abs(c["peak"] / peak - 1) <= SAME)
            entry = next(same, None)
            if entry is None:
                entry = {"unit": name, "formats": [], "peak": peak, "used": False}
                ceilings.append(entry)
            entry["formats"].append(dtype)
    if not ceilings:
        raise InputError(f"roofline: no source gives a compute peak of device {device.key}")
    return sorted(ceilings, key=lambda c: -c["peak"])


def _mark_used(ceilings: list[dict[str, Any]], p: Prediction) -> None:
    for phase in p.costs:
        for cost, _ in phase.kernels:
            unit = "matrix" if cost.matrix else "vector"
            near = [c for c in ceilings if abs(c["peak"] / cost.peak - 1) <= SAME]
            own = [c for c in near if str(cost.dtype) in c["formats"]] or near
            for ceiling in [c for c in own if c["unit"] == unit] or own:
                ceiling["used"] = True


def _kernel(row: Any, p: Prediction, prediction: int, device: int) -> tuple[bool, dict[str, Any]]:
    names = ("name", "kind", "phase", "bound", "flops", "traffic", "runtime", "operational_intensity", "performance")
    data = {"prediction": prediction, "device": device} | {name: getattr(row, name) for name in names}
    data["share"] = row.runtime / p.runtime if p.runtime else 0.0
    return bool(row.operational_intensity and row.performance), data


def _number_equal_names(devices: list[dict[str, Any]]) -> None:
    seen: dict[str, int] = {}
    for entry in devices:
        name = entry["name"]
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            entry["name"] = f"{name} ({seen[name]})"
