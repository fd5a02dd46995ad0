"""Small processors: rows of public ncnn and MLPerf Tiny tables that the catalogue can predict, and the fits to them.

``python -m perfsim.validation.edge ncnn ncnn_latency.csv`` prints measurements/ncnn.csv from the table of
Tencent/ncnn benchmark/README.md (columns device, backend, threads, powersave, model, value [ms]), ``ncnn-all`` all of
it in the same format; ``tiny`` and the results of MLPerf Tiny (columns device, submitter, benchmark, metric, value, sw,
source) print most of measurements/mlperf-tiny.csv, ``zoo`` and the tables of the model zoo of STM32 and of MCUNet the
rest.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from functools import lru_cache, partial
from types import MappingProxyType

from perfsim.catalog.files import data_root
from perfsim.catalog.hardware import device, stack
from perfsim.devices import Stack
from perfsim.errors import InputError, PerfsimError
from perfsim.validation.edge_names import (
    CLUSTERS,
    ENTRIES,
    FP16_CORES,
    NETWORKS,
    TINY_DEVICES,
    TINY_NETWORKS,
    TINY_STACKS,
    ZOO_DEVICES,
    ZOO_NETWORKS,
    ZOO_STACKS,
)
from perfsim.validation.refit import Problem
from perfsim.validation.repricing import planned_row, print_lines
from perfsim.validation.rows import Row, read_rows

__all__ = [
    "EDGE_PARAMETERS",
    "edge_problem",
    "is_fitted_network",
    "is_sampled",
    "main",
    "ncnn_lines",
    "tiny_lines",
    "zoo_lines",
]

SOURCE = "Tencent/ncnn@a4d2ea1d4422 benchmark/README.md"
HEADER = (
    "source", "device", "stack", "model", "task", "dtype", "batch", "image_size", "operating_point", "metric", "value",
    "fitted", "notes",
)  # fmt: skip

EDGE_PARAMETERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ncnn": ("compute_efficiency", "kernel_launch", "core_contention", "dtype.int8.compute_efficiency"),
        "cmsis-nn": ("compute_efficiency", "tile_setup", "bandwidth_efficiency"),
        "microtvm": ("compute_efficiency", "tile_setup", "bandwidth_efficiency"),
        "x-cube-ai": ("compute_efficiency", "tile_setup", "bandwidth_efficiency"),
        "xnnpack": ("compute_efficiency", "kernel_launch", "core_contention"),
    }
)
"""What is fitted to the rows of one kind of core, by stack."""

PARTICULAR: Mapping[tuple[str, str], tuple[str, ...]] = MappingProxyType(
    {
        ("ncnn", "ftc663"): (
            "compute_efficiency", "kernel_launch", "launch_contention", "dtype.int8.compute_efficiency"
        ),
    }
)  # fmt: skip
"""The same for kinds of core with other ones."""

SHARED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"ncnn": ("bandwidth_efficiency", "tile_transform", "product_efficiency", "launch_contention")}
)
"""What all cores share, by stack: fitted to all rows at the numbers of each core."""

FILES: Mapping[str, str] = MappingProxyType(
    {
        "ncnn": "ncnn.csv",
        "cmsis-nn": "mlperf-tiny.csv",
        "microtvm": "mlperf-tiny.csv",
        "x-cube-ai": "mlperf-tiny.csv",
        "xnnpack": "xnnpack.csv",
    }
)


def _digit(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[-1], 16)


def is_fitted_network(name: str) -> bool:
    """Whether a fit may see a network of the ncnn table: five in eight of the names, by hash [1].

    References
    ----------
    .. [1] The last hexadecimal digit of sha256(name) is below 10.
    """
    return _digit(name) < 10


ALONE = "vision_transformer"
"""The only network of products that are no convolutions: without its rows nothing would say how long they take."""


def is_sampled(*key: str) -> bool:
    """Whether a row of the public table is among those that are shipped: half of them, by hash of its key."""
    return _digit(",".join(key)) < 8


def ncnn_lines(table: Iterable[Mapping[str, str]], every: bool = False) -> Iterator[dict[str, str]]:
    """Lines of measurements/ncnn.csv from the rows of the public table; ``every``: not the sample alone."""
    for row in table:
        name, found = row["model"].removesuffix("_int8"), _entry(row)
        if row["backend"] != "CPU" or found is None or name not in NETWORKS:
            continue
        entry, point = found
        key = (row["device"], row["threads"], row["powersave"], row["model"])
        if not every and not is_sampled(*key):
            continue
        int8 = row["model"].endswith("_int8")
        core = device(entry).base_key
        dtype = "int8" if int8 else "fp16" if core in FP16_CORES else "fp32"
        fitted = (is_fitted_network(name) or name == ALONE) and not entry.endswith("-all")
        yield {
            "source": SOURCE, "device": entry, "stack": "ncnn", "model": NETWORKS[name], "task": "single-pass",
            "dtype": dtype, "batch": "1", "image_size": "", "operating_point": point,
            "metric": "runtime", "value": f"{float(row['value']) / 1e3:.6g}", "fitted": str(int(fitted)),
            "notes": f"{row['model']}, {row['device'].partition('(')[0].strip()}",
        }  # fmt: skip


def _entry(row: Mapping[str, str]) -> tuple[str, str] | None:
    """Device of a row and its operating point: as many cores as threads, or all of them with two threads each.

    None if the catalogue has no such device, or no such point.
    """
    wanted = (f"{row['threads']}-core", f"{row['threads']}-thread")
    for text, name in ENTRIES.items():
        if text.lower() in row["device"].lower():
            found = CLUSTERS.get((name, row["powersave"]), name)
            return next(((found, point) for point in wanted if point in device(found).points), None)
    return None


def tiny_lines(table: Iterable[Mapping[str, str]]) -> Iterator[dict[str, str]]:
    """Lines of measurements/mlperf-tiny.csv from the results of MLPerf Tiny."""
    metrics = {"latency_single_stream": ("runtime", 1e-3), "energy_per_inference": ("energy", 1e-6)}
    for row in table:
        chip = next((name for text, name in TINY_DEVICES.items() if text in row["device"].upper()), None)
        software = _software(row)
        if chip is None or software is None or row["metric"] not in metrics:
            continue
        metric, unit = metrics[row["metric"]]
        if metric == "energy" and row["submitter"] != "STMicroelectronics":
            continue
        name, fitted, remark = software
        yield {
            "source": row["source"], "device": chip, "stack": name, "model": TINY_NETWORKS[row["benchmark"]],
            "task": "single-pass", "dtype": "int8", "batch": "1", "image_size": "", "operating_point": "",
            "metric": metric, "value": f"{float(row['value']) * unit:.6g}", "fitted": str(int(fitted)),
            "notes": f"{row['submitter']}, {remark}",
        }  # fmt: skip


def zoo_lines(table: Iterable[Mapping[str, str]]) -> Iterator[dict[str, str]]:
    """Lines of measurements/mlperf-tiny.csv from the tables of the model zoo of STM32 and of MCUNet on STM32H743."""
    for row in table:
        size = row["resolution"].partition("x")[0]
        found = ZOO_NETWORKS.get(f"{row['model']} {size}")
        chip = next((name for text, name in ZOO_DEVICES.items() if text in row["device"]), None)
        if row["metric"] != "latency" or chip is None or found is None:
            continue
        name, fitted = found
        yield {
            "source": row["url_or_repo_path"].replace(":", " "), "device": chip,
            "stack": next(stack for text, stack in ZOO_STACKS.items() if row["framework"].startswith(text)),
            "model": name, "task": "single-pass", "dtype": "int8", "batch": "1", "image_size": size,
            "operating_point": "", "metric": "runtime", "value": f"{float(row['value']) / 1e3:.6g}",
            "fitted": str(int(fitted)), "notes": f"{row['model']}, {row['framework']}",
        }  # fmt: skip


def _software(row: Mapping[str, str]) -> tuple[str, bool, str] | None:
    text = f"{row['source']} {row['submitter']} {row['device']} {row['sw']}".lower()
    return next((found for words, found in TINY_STACKS.items() if all(word in text for word in words.split())), None)


def edge_problem(name: str, on: str, _dtype: str = "") -> Problem:
    """Numbers of one stack for one kind of core, or those that all cores share.

    name: stack; on: a core (``cortex-a72``), a chip, or ``all`` for the shared numbers (rows of cores with other ones
    apart). Rows of all number formats are fitted together. Left out are the other rows of that core; where there are
    none, those of other cores.

    Raises
    ------
    InputError
        if no fitted row has that core, or if the stack shares no number.
    """
    every = [row for row in read_rows(data_root() / "measurements" / FILES[name]) if row.stack == name]
    every = [row for row in every if row.metric == "runtime"]
    rows = [row for row in every if on in (row.device, _core(name, row.device))]
    if on == "all":
        rows = [row for row in every if (name, _core(name, row.device)) not in PARTICULAR]
    fit, unseen = ([row for row in rows if row.fitted is half] for half in (True, False))
    chosen = SHARED.get(name, ()) if on == "all" else _own(name, fit)
    if not fit or not chosen:
        known = sorted({_core(name, row.device) for row in every if row.fitted})
        raise InputError(f"{name} has no rows to fit for {on}; expected one of {', '.join(known)}")
    general = stack(name)
    return Problem(
        general if on == "all" else general.on(device(fit[0].device)), chosen,
        partial(_pairs, fit), partial(_pairs, unseen or [row for row in every if not row.fitted]),
        f"{name} on {on}, {len({row.device for row in rows})} chip(s)",
    )  # fmt: skip


def _own(name: str, rows: Sequence[Row]) -> tuple[str, ...]:
    """The numbers of one kind of core that rows can fix: contention needs different numbers of cores."""
    silent = set()
    if len({row.operating_point for row in rows}) < 2:
        silent |= {"core_contention", "launch_contention"}
    if not any(row.job.dtype == "int8" for row in rows):
        silent.add("dtype.int8.compute_efficiency")
    own = PARTICULAR.get((name, _core(name, rows[0].device) if rows else ""), EDGE_PARAMETERS[name])
    return tuple(parameter for parameter in own if parameter not in silent)


@lru_cache(maxsize=256)
def _core(name: str, chip: str) -> str:
    """The kind of core of a chip: the one that a stack's variant lists first."""
    own = device(chip)
    for patterns, _, _ in stack(name).variants:
        if any(fnmatch(key, pattern) for key in (own.key, own.base_key) for pattern in patterns):
            return patterns[0]
    return own.base_key


def _pairs(rows: Sequence[Row], under: Stack) -> list[tuple[float, float]]:
    return [(float(planned_row(row).repriced(under.on(device(row.device))).runtime), row.value) for row in rows]


LINES: Mapping[str, Callable[[Iterable[Mapping[str, str]]], Iterator[dict[str, str]]]] = MappingProxyType(
    {"ncnn": ncnn_lines, "ncnn-all": lambda table: ncnn_lines(table, every=True), "tiny": tiny_lines, "zoo": zoo_lines}
)


def main(arguments: Sequence[str]) -> int:
    """Print the lines that the table at ``arguments[1]`` gives; the exit code."""
    try:
        if len(arguments) != 2 or arguments[0] not in LINES:
            raise InputError(f"expected two arguments: {' or '.join(LINES)}, and the public table as CSV")
        print_lines(arguments[1], LINES[arguments[0]], HEADER)
    except PerfsimError as error:
        sys.stderr.write(f"perfsim: {' '.join(str(error).split())}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
