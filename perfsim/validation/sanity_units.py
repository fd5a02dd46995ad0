"""Sanity rules on peaks and prefixes: peak = units × lanes × 2 × clock, no binary prefix for a decimal one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from perfsim.catalog import device as find_device
from perfsim.catalog import device_names
from perfsim.devices import Device
from perfsim.devices.profile import Datum
from perfsim.quantities.units import DIMENSIONS, format_quantity
from perfsim.validation.sanity_relations import Rule, named
from perfsim.validation.sanity_tables import FLOPS_PER_SM, PREFIXES, Problem

__all__ = ["UNITS", "digits"]

TOLERANCE = 0.02
"""Of the product of units, lanes and clock: data sheets round all of them."""

OTHER_CLOCKS = ("sustained", "early", "riscv", "fabric", "efficiency", "performance", "prime", "tpc", "cortex")
"""Clocks that are not those of the units whose peak is stated."""

LANES: Mapping[str, int] = {"cnn_processor": 9}
"""Multiply-accumulates per cycle of one unit where they are no power of two (a 3 × 3 window)."""

UNIT_NAMES: Mapping[str, tuple[str, ...]] = {
    "tensor": ("cu", "sm", "tensorcore", "neuroncore", "dsp48", "cnn_processor"),
    "vector": ("cu", "gpu_core", "cluster_core", "sm"),
}
"""Units that do the work of a matrix or vector unit, the first one known counts."""

CHIP_CLASSES = ("fpga", "microcontroller", "edge-accelerator")
"""Classes whose whole engine is one unit where no units are stated."""


def peak_from_units(device: Device) -> Iterator[Problem]:
    """Peak = units × lanes × 2 × clock at one of the stated clocks.

    Lanes are known for CUDA cores (one fp32 multiply-add), systolic arrays and stated MACs; elsewhere FLOP per unit
    and cycle must be a power of two.
    """
    clocks = [(n, d) for n, d in device.paths("clock") if not n.startswith(OTHER_CLOCKS)]
    if str(device.info.get("class")).endswith("-cpu"):
        clocks = [(n, d) for n, d in clocks if n in ("base", "nominal")]
    for unit in ("tensor", "vector"):
        label, count, first = _units(device, unit)
        for name, peak in device.peaks(unit).items() if count and clocks else ():
            rates = [peak / count / datum.value for _, datum in clocks]
            slack = max(TOLERANCE, 0.5 * 10.0 ** -(max(digits(peak), 2) - 1) / _leading(peak))
            if not any(_fits(rate, 2.0 if name == first else None, slack) for rate in rates):
                text = " or ".join(f"{r:.4g} at {d}" for r, (_, d) in zip(rates, clocks, strict=True))
                shown = format_quantity(peak, DIMENSIONS["peak"])
                expected = "2 (one multiply-add)" if name == first else f"a power of two within {100 * slack:.2g} %"
                yield Problem(f"compute.{unit}.{name}", f"{shown} is {text} FLOP per cycle and {label}", expected)


def dense_per_sm(device: Device) -> Iterator[Problem]:
    """The dense 16-bit rate per streaming multiprocessor and cycle is at most that of the generation."""
    sm, clocks = device.get("units.sm"), [d.value for _, d in device.paths("clock")]
    if sm is None or not clocks:
        return
    most = [limit for year, limit in FLOPS_PER_SM if device.get("year", 9999) >= year][-1]
    for name in ("bf16", "fp16"):
        rate = device.get(f"compute.tensor.{name}", 0) / sm / max(clocks)
        if rate > most * 1.1:
            shown = device.data[f"compute.tensor.{name}"]
            yield Problem(f"compute.tensor.{name}", f"{shown} is {rate:.4g} FLOP per cycle and SM", f"at most {most:g}")


def binary_prefix(device: Device) -> Iterator[Problem]:
    """No rate carries 2^30/10^9 or the like: it would turn a round figure into one with many digits.

    Peaks are powers of two times a clock by nature and only looked at where no clock is known. A device that the
    catalogue knows is also compared with its entry there, capacity included.
    """
    clocked = any(device.paths("clock"))
    for path, datum in device.data.items():
        is_rate = path.endswith(".bandwidth") or (path.startswith("compute.") and not clocked)
        if is_rate and not path.startswith("measured.") and datum.status in ("vendor", "what-if"):
            for factor, name in PREFIXES.items():
                if digits(datum.value) > 4 and digits(datum.value / factor) <= 4:
                    text = f"{datum.value:.10g} is {datum.value / factor:.4g} × {name}"
                    yield Problem(path, text, "a decimal prefix (10^3, 10^6, 10^9, 10^12)")
    yield from _against_catalogue(device)


def _against_catalogue(device: Device) -> Iterator[Problem]:
    if device.base_key not in device_names() or "operating_point" in device.info:
        return
    known = find_device(device.base_key)
    for path, datum in device.data.items():
        old = known.data.get(path)
        if old is not None and path.startswith(("compute.", "memory.", "link.")):
            yield from _ratio(path, datum, old)


def _ratio(path: str, datum: Datum, old: Datum) -> Iterator[Problem]:
    for factor, name in PREFIXES.items():
        for ratio, text in ((factor, name), (1 / factor, f"1/({name})")):
            if abs(datum.value / old.value / ratio - 1) < 5e-4:
                yield Problem(path, f"{datum} is {text} × the {old} of the catalogue", f"{old}")


def digits(value: float) -> int:
    """Significant decimal digits of a number, of six."""
    return len(f"{value:.5e}".split("e")[0].replace(".", "").rstrip("0"))


def _leading(value: float) -> float:
    """Mantissa between 1 and 10."""
    return float(value / 10 ** math.floor(math.log10(value)))


def _fits(rate: float, exact: float | None, slack: float) -> bool:
    target = exact if exact is not None else 2.0 ** round(math.log2(rate))
    return abs(rate / target - 1) <= slack


def _units(device: Device, unit: str) -> tuple[str, float, str]:
    """What computes in this unit, how many of it, and the format in which one does one multiply-add per cycle."""
    count = {name: float(datum.value) for name, datum in device.paths("units")}
    cores = count.get("cuda_core", count.get("cuda_core_per_sm", 0) * count.get("sm", 0))
    arrays = count.get("tensorcore", 0) * count.get("mxu_per_tensorcore", 0) * count.get("mxu_dimension", 0) ** 2
    macs = count.get("mme", 0) * count.get("mac_per_mme", 0)
    cells = count.get("array_rows", 0) * count.get("array_columns", 0)
    exact = [("systolic cell", arrays, "bf16"), ("cell of an MME", macs, "bf16"), ("MAC", count.get("mac", 0), "int8")]
    exact.append(("cell of the array", cells, "int8"))
    table = exact if unit == "tensor" else [("CUDA core", cores, "fp32")]
    table += [(name, count.get(name, 0) * LANES.get(name, 1), "") for name in (*UNIT_NAMES[unit], "core")]
    chip = ("engine", 1.0, "") if device.info.get("class") in CHIP_CLASSES and not count else ("", 0.0, "")
    return next((row for row in table if row[1]), chip)


UNITS: Mapping[str, Rule] = named(peak_from_units, dense_per_sm, binary_prefix)
"""Rule by name; what breaks one is an error."""
