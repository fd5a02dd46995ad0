"""Energies of boards that state none: by shares of the power limit, or scaled from a chip of another process.

They become data of the device when it is read, marked as derived. A what-if on a peak, a bandwidth or the power limit
leaves them as they are: an operation costs what it costs, however many of them a second holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from perfsim.costs.technology import switching_energy, technology_factor
from perfsim.devices import Datum
from perfsim.devices.device import CACHES
from perfsim.quantities.dtypes import DTYPES
from perfsim.quantities.units import DIMENSIONS

__all__ = ["SHARES", "board_energies", "point_energies", "share_sources"]

BUSY_SHARE = 0.12
"""Power over the limit [1] of a device that runs a job, before it computes or moves anything: clocks up, kernels
resident. Fitted with the next two on 15 vLLM rows of Qwen3-8B on H100 (ml-energy/leaderboard@0cd52dab897c) and 9
batch-1 rows of Llama-2-70B on A100 (Mutinifni/splitwise-sim@8f99e7dc9b40): MAPE 5.6 and 9.0 %, rows left out 6.2 and
12.5 %; python -m perfsim.validation.power. It is at its lower limit, the idle share."""

MEMORY_SHARE = 0.80
"""Further share of the limit [1] at full main-memory bandwidth; fitted as above."""

SERVING_SHARE = 0.78
"""Further share of the limit [1] in the time per sequence between two steps of a serving stack; fitted as above."""

MATRIX_POWER_SHARE = 0.92
"""Board power of long bf16 matrix products over the limit [1]: H200 rows with power of ai-dynamo/aiconfigurator
(0.84-0.91 on B200 and GB200)."""

IDLE_SHARE = 0.12
"""Power over the limit [1] of a device that waits, where it has no reading of its own: H100 69-75.6 W of 700 W, A100
58.1 W of 400 W in public nvidia-smi logs."""

SHARES: Mapping[str, float] = MappingProxyType({"busy": BUSY_SHARE, "serving": SERVING_SHARE, "idle": IDLE_SHARE})
"""Power by name below ``power``, over the limit [1]."""

CACHE_ENERGY = 5e-12
"""Energy per byte that a last-level cache serves [J/byte]: 0.625 pJ per bit, textbook order of magnitude. Bytes from
main memory pass the cache too; theirs is part of the memory's."""

LINK_ENERGY: Mapping[str, tuple[float, str]] = {
    "PCIe Gen3": (4.0e-12 * 8, "4 pJ per bit of a PCIe 3 transceiver"),
    "PCIe Gen4": (6.0e-12 * 8, "6 pJ per bit, upper end of 1.93 to 6 for PCIe 4; the lower is the sender alone"),
    "PCIe Gen5": (11.4e-12 * 8, "11.4 pJ per bit, upper end of 7.6 to 11.4 for PCIe 5"),
    "NVLink": (5.5e-12 * 8, "5.5 pJ per bit of a 112 Gbit/s SerDes; short-reach NVLink claims 1.2 to 1.3"),
}
"""Energy per byte sent by technology of the link [J/byte], and what it is; links of other kinds count as zero."""

_REFERENCE = {"limit": 400.0, "peak": 312e12, "node": 7e-9}
"""The A100: power limit [W], dense bf16 peak [FLOP/s], node [m]."""

_PER_BIT: Mapping[str, tuple[float, str]] = {
    "HBM3E": (3.44e-12, "IEDM 2023"), "HBM3": (3.92e-12, "between HBM2E and HBM3E"), "HBM2E": (4.3e-12, "IEDM 2023"),
    "HBM2": (3.97e-12, "MICRO 2017"), "HBM": (3.97e-12, "of HBM2"), "GDDR6": (7.25e-12, "vendor brief"),
    "DDR5": (11.85e-12, "simulated sequential traffic"),
    "LPDDR5X": (3.5e-12, "mid of 2.5 to 4.5, not read in a source"),
    "LPDDR5": (4.0e-12, "mid of 3 to 5, not read in a source"),
    "LPDDR4X": (4.75e-12, "mid of 3.5 to 6, not read in a source"),
    "LPDDR4": (6.0e-12, "mid of 4 to 8, not read in a source"),
}  # fmt: skip
"""Energy of memory devices by technology [J/bit], longest name first within a family; and where it is from."""

_SOURCE = "power_shares"
_TECHNOLOGY = "technology_scaling"


def share_sources() -> dict[str, str]:
    """Titles of the sources of derived energies."""
    return {
        _SOURCE: "Power limit × shares fitted to power of vLLM on H100 and A100 (docs/energy.md)",
        _TECHNOLOGY: "A. Stillmaker, B. Baas, Integration 58, 2017: energy of a process (docs/energy.md)",
    }


def board_energies(data: Mapping[str, Datum], info: Mapping[str, Any]) -> dict[str, Datum]:
    """What a device does not state itself: ``power.busy``, ``power.serving``, ``energy.*``.

    Chips that state their power by activity have none.

    Energies per operation are those at which full matrix work draws its share of the power limit; a chip without a
    limit gets the A100's, scaled to its node and by the bits of the number format.
    """
    if "power.active.base" in data:
        return {}
    main, limit = str(info["main_memory"]), data.get("power.maximum")
    peaks = _matrix_peaks(data)
    if limit is not None:
        found = _by_limit(limit, peaks, data.get(f"memory.{main}.bandwidth"), main)
    elif "process.node" in data and peaks and info.get("class") != "microcontroller":
        found = _by_technology(data, info, peaks, main)
    else:
        return {}
    return {path: datum for path, datum in {**found, **_beside(data, info, main)}.items() if path not in data}


def point_energies(
    point: Mapping[str, Datum], data: Mapping[str, Datum], info: Mapping[str, Any]
) -> dict[str, Datum]:
    """Energies at an operating point: by its own power limit, else by the square of its voltage, else none."""
    if "power.maximum" in point:
        stated = {path: datum for path, datum in data.items() if datum.source != _SOURCE}
        found = board_energies({**stated, **point}, info)
        return {path: datum for path, datum in found.items() if path not in point}
    pairs = [(point[p].value, data[p].value) for p in point if p.startswith("voltage.") and p in data]
    if not pairs:
        return {}
    volts, before = pairs[0]
    note = f"at {before:g} V × ({volts:g} / {before:g})²"
    return {
        path: Datum(
            switching_energy(energy=d.value, voltage=volts, reference=before), d.dimension, d.source, "derived", note
        )
        for path, d in data.items()
        if d.source in (_SOURCE, _TECHNOLOGY) and path not in point
    }  # fmt: skip


def _matrix_peaks(data: Mapping[str, Datum]) -> dict[str, Datum]:
    """Peak of matrix work by path below ``compute``: the matrix unit's, and the vector unit's for other formats."""
    tensor = {p.removeprefix("compute."): d for p, d in data.items() if p.startswith("compute.tensor.")}
    formats = {path.rsplit(".", 1)[-1] for path in tensor}
    vector = {p.removeprefix("compute."): d for p, d in data.items() if p.startswith("compute.vector.")}
    return {**tensor, **{p: d for p, d in vector.items() if p.rsplit(".", 1)[-1] not in formats}}


def _derived(value: Any, dimension: str, note: str, source: str = _SOURCE, status: str = "derived") -> Datum:
    return Datum(value, DIMENSIONS[dimension], source, status, note)


def _by_limit(limit: Datum, peaks: Mapping[str, Datum], bandwidth: Datum | None, main: str) -> dict[str, Datum]:
    """Shares of the power limit, over the rated rates."""
    found = {
        f"power.{name}": _derived(share * limit.value, "power", f"{share:g} of the power limit of {limit}")
        for name, share in SHARES.items()
    }
    matrix = MATRIX_POWER_SHARE - BUSY_SHARE
    for path, peak in peaks.items():
        note = f"{matrix:.2g} of the power limit of {limit} over the peak of {peak}"
        found[f"energy.{path}"] = _derived(matrix * limit.value / peak.value, "energy_per_flop", note)
    if bandwidth is not None:
        joules = MEMORY_SHARE * limit.value / bandwidth.value
        note = f"{MEMORY_SHARE:g} of {limit} over {bandwidth}: {joules / 8e-12:.3g} pJ per bit, whole path to the cores"
        found[f"energy.memory.{main}"] = _derived(joules, "energy_per_byte", note)
    return found


def _by_technology(
    data: Mapping[str, Datum], info: Mapping[str, Any], peaks: Mapping[str, Datum], main: str
) -> dict[str, Datum]:
    """The A100's energy per operation, scaled to the chip's node; its busy and idle power to match."""
    node = data["process.node"].value
    factor = technology_factor(node=node, reference=_REFERENCE["node"])
    matrix = MATRIX_POWER_SHARE - BUSY_SHARE
    per_bit = matrix * _REFERENCE["limit"] / _REFERENCE["peak"] / 16 * factor
    note = f"the A100's at 7 nm × {factor:.3g} for {node * 1e9:g} nm (Stillmaker and Baas), in proportion to the bits"
    found = {}
    for path in peaks:
        bits = DTYPES[path.rsplit(".", 1)[-1].removesuffix("_acc16").removesuffix("_acc32")].bits
        found[f"energy.{path}"] = _derived(per_bit * bits, "energy_per_flop", note, _TECHNOLOGY)
    full = max(found[f"energy.{path}"].value * peak.value for path, peak in peaks.items())
    for name, share in SHARES.items():
        text = f"{share / matrix:.3g} of the power of full matrix work at the scaled energy"
        found[f"power.{name}"] = _derived(share / matrix * full, "power", text, _TECHNOLOGY)
    technology = str(info.get(f"memory.{main}.technology", ""))
    known = next(((e, why) for name, (e, why) in _PER_BIT.items() if technology.startswith(name)), None)
    if known is not None:
        status = "unverified" if "not read" in known[1] else "derived"
        text = f"memory device of this technology alone: {known[1]}"
        found[f"energy.memory.{main}"] = _derived(known[0] * 8, "energy_per_byte", text, _TECHNOLOGY, status)
    return found


def _beside(data: Mapping[str, Datum], info: Mapping[str, Any], main: str) -> dict[str, Datum]:
    """Energies per byte of the last-level cache and of links, by kind."""
    found = {}
    for name in CACHES:
        if name != main and f"memory.{name}.capacity" in data and info.get(f"memory.{name}.scope") == "chip":
            text = "0.625 pJ per bit, a textbook order of magnitude; beyond what main memory counts"
            found[f"energy.memory.{name}"] = _derived(CACHE_ENERGY, "energy_per_byte", text, _SOURCE, "unverified")
            break
    for path in data:
        parts = path.split(".")
        if parts[0] == "link" and parts[-1] == "bandwidth":
            technology = str(info.get(f"link.{parts[1]}.technology", ""))
            known = next((value for name, value in LINK_ENERGY.items() if technology.startswith(name)), None)
            if known is not None:
                joules, text = known
                found[f"energy.link.{parts[1]}"] = _derived(joules, "energy_per_byte", text, _SOURCE, "unverified")
    return found
