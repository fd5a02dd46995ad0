"""Sanity rules that hold for every chip: definitions and orders. What breaks one is an error, or has a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from perfsim.devices import Device
from perfsim.quantities.dtypes import DTYPES
from perfsim.quantities.numbers import Number
from perfsim.quantities.units import DIMENSIONS, format_quantity
from perfsim.validation.sanity_tables import OFF_CHIP, RANKS, Problem

__all__ = ["RELATIONS", "Rule", "is_on_chip", "named"]

Rule = Callable[[Device], Iterator[Problem]]
UNREAD = "Not read in a source"


def sparse_twice_dense(device: Device) -> Iterator[Problem]:
    """A structured-sparse peak is twice the dense one of its format, within the rounding of the two."""
    tensor = device.peaks("tensor")
    for name, value in device.peaks("tensor_sparse").items():
        if name in tensor and abs(value / tensor[name] - 2) > 0.03:
            text = f"sparse {_peak(value)} is {value / tensor[name]:.3g} × dense {_peak(tensor[name])}"
            yield Problem(f"compute.tensor_sparse.{name}", text, "2 × dense")


def equal_widths(device: Device) -> Iterator[Problem]:
    """The matrix unit runs bf16 and fp16 at the same rate."""
    tensor = device.peaks("tensor")
    if {"bf16", "fp16"} <= set(tensor) and abs(tensor["bf16"] / tensor["fp16"] - 1) > 0.01:
        text = f"bf16 {_peak(tensor['bf16'])}, fp16 {_peak(tensor['fp16'])}"
        yield Problem("compute.tensor.bf16", text, "equal rates in both 16-bit formats")


def narrower_is_faster(device: Device) -> Iterator[Problem]:
    """A narrower format is at least as fast as a wider one on the same unit: fp16 as fp32, int8 as fp16."""
    for unit in ("tensor", "vector"):
        peaks = device.peaks(unit)
        for index, rank in enumerate(RANKS):
            for wide in (name for name in rank if name in peaks):
                for narrow in (name for later in RANKS[index + 1 :] for name in later if name in peaks):
                    if peaks[narrow] < 0.98 * peaks[wide]:
                        text = f"{narrow} {_peak(peaks[narrow])} is below {wide} {_peak(peaks[wide])}"
                        yield Problem(f"compute.{unit}.{narrow}", text, f"at least the {wide} peak")


def measured_below_peak(device: Device) -> Iterator[Problem]:
    """What was measured stays below the peak of the same quantity; 2 % are granted to the clock."""
    for path, datum in device.paths("measured"):
        peak = device.get(path)
        rate = path.endswith(("bandwidth", *DTYPES)) and path.startswith(("compute.", "memory.", "link."))
        if rate and peak is not None and datum.value > 1.02 * peak:
            yield Problem(f"measured.{path}", f"measured {datum}, peak {device.data[path]}", "at most the peak")


def cache_bandwidth(device: Device) -> Iterator[Problem]:
    """A level on the chip moves at least as many bytes per second as the main memory."""
    for level, total, main in _on_chip(device, "bandwidth", "bandwidth_scope"):
        if total < main:
            text = f"{level} {_rate(total)}, {device.main_memory} {_rate(main)}"
            yield Problem(f"memory.{level}.bandwidth", text, "at least the bandwidth of the main memory")


def cache_capacity(device: Device) -> Iterator[Problem]:
    """All instances of a level on the chip together hold no more than the main memory."""
    for level, total, main in _on_chip(device, "capacity", "scope"):
        if total > main:
            text = f"{level} {_size(total)}, {device.main_memory} {_size(main)}"
            yield Problem(f"memory.{level}.capacity", text, "at most the capacity of the main memory")


def _on_chip(device: Device, what: str, scope: str) -> Iterator[tuple[str, float, float]]:
    """Levels on the chip, a quantity of all their instances together, and that of the main memory."""
    main = device.get(f"memory.{device.main_memory}.{what}")
    for path, datum in device.paths("memory"):
        level, _, name = path.partition(".")
        if name == what and main is not None and is_on_chip(device, level):
            yield level, datum.value * _instances(device, level, scope), main


def link_below_memory(device: Device) -> Iterator[Problem]:
    """A link between devices is slower than the main memory; else a link rate may stand for the memory's."""
    main = device.get(f"memory.{device.main_memory}.bandwidth")
    for path, datum in device.paths("link"):
        if path.endswith(".bandwidth") and main is not None and datum.value >= main:
            text = f"{path.split('.')[0]} {datum}, {device.main_memory} {_rate(main)}"
            yield Problem(f"link.{path}", text, "below the bandwidth of the main memory")


def idle_below_maximum(device: Device) -> Iterator[Problem]:
    """Idle power is below maximum power."""
    idle, most = device.data.get("power.idle"), device.data.get("power.maximum")
    if idle is not None and most is not None and idle.value >= most.value:
        yield Problem("power.idle", f"idle {idle}, maximum {most}", "idle below maximum")


def sourced(device: Device) -> Iterator[Problem]:
    """Every quantity names a listed source; what nobody read in one is marked unverified."""
    points = {f"operating_point.{p}.{path}": d for p, data in device.points.items() for path, d in data.items()}
    for path, datum in {**device.data, **points}.items():
        title = device.sources.get(datum.source, "")
        if not title:
            yield Problem(path, f'source "{datum.source}" has no title', "a source with a title")
        elif title.startswith(UNREAD) and datum.status != "unverified":
            yield Problem(path, f'status {datum.status}, source "{title}"', "status unverified")


def is_on_chip(device: Device, level: str) -> bool:
    """Whether the memory level lies between the units and the main memory."""
    return level != device.main_memory and level not in OFF_CHIP


def _instances(device: Device, level: str, scope: str) -> float:
    """How many instances of the level the chip has, if its figure is that of one."""
    text = device.info.get(f"memory.{level}.{scope}", device.info.get(f"memory.{level}.scope", "chip"))
    return float(device.info.get(f"memory.{level}.count", 1)) if str(text).startswith("per-") else 1.0


def _peak(value: Number) -> str:
    return format_quantity(value, DIMENSIONS["peak"])


def _rate(value: Number) -> str:
    return format_quantity(value, DIMENSIONS["bandwidth"])


def _size(value: Number) -> str:
    return format_quantity(value, DIMENSIONS["capacity"])


def named(*rules: Rule) -> Mapping[str, Rule]:
    """Rules by their name: that of the function, with hyphens."""
    return MappingProxyType({getattr(rule, "__name__", "rule").replace("_", "-"): rule for rule in rules})


RELATIONS: Mapping[str, Rule] = named(
    sparse_twice_dense, equal_widths, narrower_is_faster, measured_below_peak, cache_bandwidth, cache_capacity,
    link_below_memory, idle_below_maximum, sourced,
)  # fmt: skip
"""Rule by name; what breaks one is an error."""
