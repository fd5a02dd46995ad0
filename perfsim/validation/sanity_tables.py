"""Bands and constants of the sanity rules: what is plausible for a chip of a class, a memory or a year.

Bands are deliberately wide: they hold every chip of the catalogue whose numbers agree with each other, with some
room, and stop before the mistakes that catalogues are known for (a sparse peak in the dense column is a factor 2, a
link rate taken for the memory's a factor 4 to 10, a binary prefix 7 to 10 %).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from perfsim.devices import Device
from perfsim.quantities.dtypes import DTYPES
from perfsim.quantities.numbers import Number

__all__ = [
    "FAMILIES", "FLOPS_PER_SM", "OFF_CHIP", "POWER", "PREFIXES", "PRICE", "RANKS", "READ_TIME", "RIDGE", "STACKS",
    "Problem", "Stack", "dense", "family", "in_16_bit", "reference",
]  # fmt: skip

Band = tuple[float, float]


class Problem(NamedTuple):
    """What a rule objects to: the path of the quantity, what is there, and what was expected."""

    path: str
    what: str
    expected: str


class Stack(NamedTuple):
    """A generation of stacked memory. peak: of one stack [byte/s]; step: capacity step [byte]; most: stacks."""

    peak: float
    step: float
    most: int


GIB = 2.0**30

STACKS: Mapping[str, Stack] = MappingProxyType(
    {
        "HBM2": Stack(307e9, 4 * GIB, 6),
        "HBM2e": Stack(461e9, 8 * GIB, 8),
        "HBM3": Stack(819e9, 8 * GIB, 8),
        "HBM3e": Stack(1229e9, 12 * GIB, 8),
    }
)
"""Peak per stack of the JEDEC generations; capacity steps: stacks of 4 or 8 (HBM2), 8 or 16 (HBM2e), 16 or 24 (HBM3),
24 or 36 GiB (HBM3e) add up to multiples of their common divisor; most stacks that a package of the generation held."""

FAMILIES = ("hbm", "gddr", "lpddr", "ddr", "hyperram", "sram")

READ_TIME: Mapping[str, Band] = MappingProxyType(
    {
        "hbm": (15e-3, 60e-3), "gddr": (15e-3, 100e-3), "lpddr": (50e-3, 1.0), "ddr": (0.1, 20.0),
        "hyperram": (20e-3, 0.3), "sram": (1e-6, 2e-3),
    }
)  # fmt: skip
"""Time to read the whole main memory once [s]. Capacity and bandwidth grow with the number of chips, so their ratio is
a property of the memory technology."""

RIDGE: Mapping[tuple[str, str], Band] = MappingProxyType(
    {
        ("datacenter-gpu", "tensor"): (100, 450), ("datacenter-gpu", "vector"): (15, 220),
        ("consumer-gpu", "tensor"): (70, 250), ("consumer-gpu", "vector"): (30, 180),
        ("tpu", "tensor"): (100, 400), ("tpu", "vector"): (5, 50),
        ("accelerator", "tensor"): (100, 400), ("accelerator", "vector"): (5, 100),
        ("server-cpu", "tensor"): (150, 500), ("server-cpu", "vector"): (20, 90),
        ("client-cpu", "tensor"): (20, 100), ("client-cpu", "vector"): (0.3, 50),
        ("mobile", "tensor"): (100, 400), ("mobile", "vector"): (0.2, 80),
        ("sbc", "vector"): (0.1, 40),
        ("edge-gpu", "tensor"): (80, 250), ("edge-gpu", "vector"): (10, 70),
        ("edge-accelerator", "tensor"): (30, 200),
        ("fpga", "tensor"): (20, 100),
        ("microcontroller", "tensor"): (1, 2000), ("microcontroller", "vector"): (0.2, 100),
    }
)  # fmt: skip
"""Ridge point of the main memory [FLOP/byte], in 16-bit formats (8-bit rates count half, 32-bit rates twice)."""

POWER: Mapping[str, tuple[tuple[int, float, float], ...]] = MappingProxyType(
    {
        "datacenter-gpu": ((0, 0.1, 1.0), (2020, 0.3, 1.6), (2022, 0.6, 2.4), (2024, 0.8, 3.2)),
        "accelerator": ((0, 0.1, 1.0), (2020, 0.3, 1.6), (2022, 0.5, 2.4), (2024, 0.8, 3.2)),
        "tpu": ((0, 0.1, 0.6), (2020, 0.3, 1.6), (2024, 0.8, 3.2)),
        "consumer-gpu": ((0, 0.05, 0.6), (2022, 0.15, 1.2)),
        "server-cpu": ((0, 0.02, 0.6),),
        "client-cpu": ((0, 0.02, 0.4),),
        "mobile": ((0, 0.05, 5.0),),
        "sbc": ((0, 0.005, 0.06),),
        "edge-gpu": ((0, 0.03, 0.4), (2020, 0.2, 1.2)),
        "edge-accelerator": ((0, 0.1, 4.0),),
        "fpga": ((0, 0.01, 0.3),),
        "microcontroller": ((0, 0.0005, 4.0),),
    }
)
"""Class → (from year, least, most) dense 16-bit peak per maximum power [TFLOP/s/W]."""

PRICE: Mapping[str, Band] = MappingProxyType(
    {
        "datacenter-gpu": (1.5, 30), "tpu": (1.5, 30), "accelerator": (1.0, 30), "consumer-gpu": (0.5, 30),
        "server-cpu": (30, 400),
    }
)  # fmt: skip
"""Price per dense 16-bit peak [USD/h per PFLOP/s] at which such chips are rented."""

FLOPS_PER_SM: tuple[tuple[int, float], ...] = ((0, 1024), (2020, 2048), (2022, 4096), (2024, 8192))
"""(From year, most) dense 16-bit FLOP per cycle of the matrix units of one streaming multiprocessor: Volta and Turing,
Ampere, Hopper and Ada, Blackwell. The structured-sparse rate is twice that."""

RANKS: tuple[tuple[str, ...], ...] = (
    ("fp64",), ("fp32",), ("tf32",), ("bf16", "fp16"), ("fp8_e4m3", "fp8_e5m2", "int8"), ("fp6",), ("fp4", "int4"),
)  # fmt: skip
"""Number formats from wide to narrow."""

PREFIXES: Mapping[float, str] = MappingProxyType(
    {1.024: "2^10/10^3", 1.048576: "2^20/10^6", 1.073741824: "2^30/10^9", 1.099511627776: "2^40/10^12"}
)
"""Binary over decimal prefix."""

OFF_CHIP = ("flash", "hyperflash", "psram", "lpddr", "ddr", "gddr", "hbm", "hyperram")
"""Memories behind or beside the main memory; every other level is on the chip and nearer than the main memory."""


def family(device: Device) -> str:
    """Technology family of the main memory; scratchpads count as ``sram``."""
    return device.main_memory if device.main_memory in FAMILIES else "sram"


def in_16_bit(device: Device, path: str) -> float:
    """Peak at ``path`` expressed in 16-bit operations [FLOP/s]."""
    return float(device.data[path].value) * DTYPES[path.rsplit(".", 1)[1]].bits / 16


def dense(device: Device) -> Iterator[tuple[str, str, str, Number]]:
    """(path, unit, format, peak) of every dense peak in a plain number format."""
    for unit in ("tensor", "vector"):
        for name, value in device.peaks(unit).items():
            if name in DTYPES:
                yield f"compute.{unit}.{name}", unit, name, value


def reference(device: Device, unit: str) -> tuple[str, ...]:
    """Paths of the peaks that speak for a unit: its 16-bit formats, else 8-bit, else 32-bit."""
    names = set(device.peaks(unit))
    for group in (("bf16", "fp16"), ("int8", "fp8_e4m3"), ("fp32",)):
        found = tuple(f"compute.{unit}.{name}" for name in group if name in names)
        if found:
            return found
    return ()
