"""Stacks: the software on a device. What it fuses, how its kernels reach the roofline, what its host costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import cached_property
from types import MappingProxyType
from typing import Any

from perfsim.devices.device import Device
from perfsim.devices.profile import Datum, Profile
from perfsim.graph import Unit
from perfsim.quantities.dtypes import DTYPES, DType
from perfsim.quantities.numbers import Number
from perfsim.quantities.units import DIMENSIONS

__all__ = ["ALGORITHMS", "PARAMETERS", "TILED_PARAMETERS", "Calibration", "KernelRates", "Stack"]

PARAMETERS: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "kernel_launch": ("time", 0.0),
        "compute_efficiency": ("ratio", 1.0),
        "attention_efficiency": ("ratio", 1.0),
        "bandwidth_efficiency": ("ratio", 1.0),
        "serial_share": ("ratio", 0.0),
        "chain_per_k": ("time", 0.0),
        "chain_cap": ("time", 0.0),
        "tile_rows": ("ratio", 1.0),
        "tile_columns": ("ratio", 1.0),
        "tile_setup": ("ratio", 0.0),
        "misaligned_efficiency": ("ratio", 1.0),
        "tile_split": ("ratio", 0.0),
        "tile_depth": ("ratio", 1.0),
        "tile_group": ("ratio", 1.0),
        "tile_shared": ("ratio", 1.0),
        "tile_winograd": ("ratio", 1.0),
        "tile_transform": ("ratio", 0.0),
        "product_efficiency": ("ratio", 1.0),
        "core_contention": ("ratio", 0.0),
        "launch_contention": ("ratio", 0.0),
        "grouped_efficiency": ("ratio", 1.0),
        "depthwise_bandwidth_efficiency": ("ratio", 1.0),
        "row_time": ("time", 0.0),
        "core_products": ("ratio", 0.0),
        "host_per_kernel": ("time", 0.0),
        "step_gap": ("time", 0.0),
        "host_per_sequence": ("time", 0.0),
        "host_per_token": ("time", 0.0),
        "host_per_step": ("time", 0.0),
        "host_per_layer": ("time", 0.0),
        "host_per_collective": ("time", 0.0),
        "collective_latency": ("time", 0.0),
        "link_efficiency": ("ratio", 1.0),
        "communication_overlap": ("ratio", 1.0),
    }
)
"""Parameter → (name of its dimension, value in a perfect stack). docs/assumptions.md says what each means."""

ALGORITHMS = ("tile_winograd",)
"""Parameters that say which algorithm a kernel runs, not how well: a bound holds for the same algorithm only."""

TILED_PARAMETERS: Mapping[str, str] = MappingProxyType(
    {
        "tiling.levels": "ratio",
        "tiling.l1_reserved": "capacity",
        "tiling.l2_reserved": "capacity",
        "tiling.tile_overhead": "ratio",
        "tiling.layer_overhead": "ratio",
        "tiling.stream_limit": "capacity",
        "tiling.line_overhead": "ratio",
        "kernel.*.rate": "ratio",
        "kernel.*.per_output": "ratio",
        "kernel.*.per_input": "ratio",
        "kernel.*.cores": "ratio",
        "kernel.*.by_channel": "ratio",
        "kernel.*.lanes": "ratio",
        "kernel.*.simd": "ratio",
        "kernel.*.activity": "ratio",
    }
)
"""Parameters of a stack that cuts layers into tiles for scratchpads → name of the dimension; docs/microcontrollers.md
says what each means. A kind of layer stands for ``*``."""


_CORE_CLOCKS = ("cluster", "nominal", "maximum")
"""Clocks of a device that can be that of a core, the first that is stated counts."""


@dataclass(frozen=True, eq=False)
class KernelRates:
    """The numbers that turn one kernel's work into time, for one number format."""

    kernel_launch: Number
    compute_efficiency: Number
    attention_efficiency: Number
    bandwidth_efficiency: Number
    serial_share: Number
    chain_per_k: Number
    chain_cap: Number
    tile_rows: Number
    tile_columns: Number
    tile_setup: Number
    misaligned_efficiency: Number
    tile_split: Number
    tile_depth: Number
    tile_group: Number
    tile_shared: Number
    tile_winograd: Number
    tile_transform: Number
    product_efficiency: Number
    core_contention: Number
    launch_contention: Number
    grouped_efficiency: Number
    depthwise_bandwidth_efficiency: Number
    row_time: Number


@dataclass(frozen=True)
class Calibration:
    """Residuals of a stack on a class of devices.

    low, high: 5th and 95th percentile of measured / predicted; prefill_low, prefill_high: the same for prompt times
    alone, where they were measured; rows: how many measurements; source: which;
    dtypes: number formats seen; batch: largest batch seen; group: most devices seen; techniques: those that some
    measured runs applied; always: those that all of them did.
    """

    low: float
    high: float
    rows: int
    source: str
    dtypes: tuple[str, ...] = ()
    batch: int = 1
    group: int = 1
    prefill_low: float | None = None
    prefill_high: float | None = None
    techniques: tuple[str, ...] = ()
    always: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Stack(Profile):
    """Software on a device. ``attention``: which attention graph it runs; ``fuse``: pairs ``producer+consumer``
    that it has one kernel for; ``all_logits``: whether a prompt's logits are computed for every position;
    ``on_chip``: whether activations never touch main memory (``ideal`` only); of vision networks: ``autocast``: whether
    parameters are kept in fp32 and cast in every pass; ``channels_first``: whether feature maps are stored channel by
    channel; ``keeps_batch_norm``: whether batch norms stay operators of their own.

    ``runs_on``, ``vendors``, ``engines``: classes, makers and engines of the devices that it exists for, empty for all;
    ``measured``: families of the models that its calibrations measured, empty for all; ``jobs``: what it is for,
    ``inference``, ``training`` or both, what its calibrations measured first; ``weights_in``: the memory of
    its own that keeps the weights (``flash``), empty for the main memory; ``format``: the number format in which the
    rates of its kernels hold, in others they scale with the device's peak; empty for any.

    ``variants`` hold the values for device classes: patterns of device keys → changed data and calibration.
    """

    attention: str = "fused"
    fuse: tuple[str, ...] = ()
    on_chip: bool = False
    block_tokens: int = 1
    all_logits: bool = False
    autocast: bool = False
    channels_first: bool = False
    keeps_batch_norm: bool = False
    runs_on: tuple[str, ...] = ()
    vendors: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ("inference",)
    weights_in: str = ""
    format: str = ""
    variants: tuple[tuple[tuple[str, ...], Mapping[str, Datum], Calibration | None], ...] = ()
    calibration: Calibration | None = None

    kind = "stack"

    def on(self, device: Device) -> Stack:
        """The stack as it is on ``device``: the first variant whose pattern matches, else the defaults."""
        if "core_products" in self.data:  # depends on the clock and the peak, which what-ifs change
            return self._resolve(device)
        key = (device.key, device.base_key, device.kernel_launch.value)
        if key not in self._resolved:
            self._resolved[key] = self._resolve(device)
        return self._resolved[key]

    @cached_property
    def _resolved(self) -> dict[tuple[str, str, Number], Stack]:
        return {}

    def _resolve(self, device: Device) -> Stack:
        general = {"kernel_launch": device.kernel_launch, **self.data}
        for patterns, data, calibration in self.variants:
            if any(fnmatch(key, pattern) for key in (device.key, device.base_key) for pattern in patterns):
                return replace(self, data={**general, **data}, calibration=calibration, variants=())
        return replace(self, data=self._by_core(general, device), variants=(), calibration=None)

    def _by_core(self, general: Mapping[str, Datum], device: Device) -> Mapping[str, Datum]:
        """The general values on a chip that no variant names: per cycle of one core, if the stack says of which core.

        A kernel without instructions of its own for a chip gains nothing from wide registers, or from further cores.
        """
        clock = next((c for name in _CORE_CLOCKS if (c := device.get(f"clock.{name}")) is not None), None)
        if "core_products" not in general or clock is None or self.format not in device.formats:
            return general
        stated = general["compute_efficiency"]
        ours = 2 * general["core_products"].value * clock / device.peak(Unit.TENSOR, DTYPES[self.format])
        note = f"{stated.value:g} of the {general['core_products'].value:g} products per cycle of one core"
        return {**general, "compute_efficiency": replace(stated, value=stated.value * ours, note=note)}

    @cached_property
    def is_perfect(self) -> bool:
        """Whether this is an ideal execution: activations on chip and every parameter perfect, of any algorithm."""
        speeds = {name: perfect for name, (_, perfect) in PARAMETERS.items() if name not in ALGORITHMS}
        return self.on_chip and all(self.parameter(name) == perfect for name, perfect in speeds.items())

    @property
    def algorithms(self) -> dict[str, Datum]:
        """What it states about the algorithms of its kernels, by path."""
        return {path: datum for path, datum in self.data.items() if path.rpartition(".")[2] in ALGORITHMS}

    def running(self, other: Stack) -> Stack:
        """A copy with the algorithms of ``other``, whose sources come along; itself if they are the plain ones."""
        if not other.algorithms:
            return self
        return replace(self, data={**self.data, **other.algorithms}, sources={**other.sources, **self.sources})

    def suits(self, device: Device) -> bool:
        """Whether it exists for the class, the maker and the engine of ``device``, as far as the device states them."""
        limits = (("class", self.runs_on), ("vendor", self.vendors), ("engine", self.engines))
        return all(not allowed or device.info.get(key, allowed[0]) in allowed for key, allowed in limits)

    @cached_property
    def tiles(self) -> bool:
        """Whether it cuts layers into tiles for scratchpads, instead of relying on caches."""
        return any(path.startswith("tiling.") for path in self.data)

    def must_be_positive(self, path: str) -> bool:
        """Efficiencies and sizes of tiles; what a perfect stack has none of may be zero, and so may its overlap."""
        name = path.rpartition(".")[2]
        if name not in PARAMETERS:
            return super().must_be_positive(path)
        return PARAMETERS[name][1] != 0 and name != "communication_overlap"

    def datum(self, path: str) -> Datum:
        """The datum at ``path``; a parameter that the stack does not state has its perfect value."""
        if path in PARAMETERS and path not in self.data:
            dimension, perfect = PARAMETERS[path]
            return Datum(perfect, DIMENSIONS[dimension], "perfect", "derived", "not stated: the perfect value")
        return super().datum(path)

    def replace(self, **changes: Any) -> Stack:
        """A copy with some parameters changed, in the defaults and in every variant."""
        changed = super().replace(**changes)
        new = {path: changed.data[path] for path in changes}
        variants = tuple((patterns, {**data, **new}, calibration) for patterns, data, calibration in self.variants)
        return replace(changed, variants=variants)

    def parameter(self, name: str) -> Number:
        """Value of a parameter [its SI unit]; the perfect value where the stack does not state one."""
        return self.get(name, PARAMETERS[name][1])

    @cached_property
    def known_calibrations(self) -> list[Calibration]:
        """Calibrations of all device classes."""
        return [calibration for _, _, calibration in self.variants if calibration is not None]

    @cached_property
    def _rates(self) -> dict[str, KernelRates]:
        return {}

    def rates(self, dtype: DType | None) -> KernelRates:
        """Kernel parameters for matrix work in ``dtype``, its own where stated; the general ones for None.

        Own ones hold for products with weights only: a norm or an attention kernel of an fp8 job does not
        quantise its input.
        """
        key = dtype.name if dtype else ""
        if key not in self._rates:
            names = KernelRates.__dataclass_fields__
            general = {name: self.parameter(name) for name in names}
            own = {path: datum.value for path, datum in self.paths(f"dtype.{key}")} if key else {}
            self._rates[key] = KernelRates(**(general | own))
        return self._rates[key]
