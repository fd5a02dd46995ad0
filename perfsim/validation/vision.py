"""Vision networks in PyTorch: the rows of the timm tables that the catalogue can predict, and the fits to them.

``python -m perfsim.validation.vision timm_benchmark.csv`` prints measurements/timm.csv, from the inference rows of the
results of huggingface/pytorch-image-models in one table (columns device, framework, mode, layout, model, img, batch,
value).
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

from perfsim.catalog.files import data_root
from perfsim.catalog.hardware import device, stack
from perfsim.catalog.models import model_entry, model_names
from perfsim.errors import InputError
from perfsim.validation.program import exit_code
from perfsim.validation.refit import Problem
from perfsim.validation.repricing import print_lines, repriced_pairs
from perfsim.validation.rows import read_rows

__all__ = ["FITTED", "PARAMETERS", "STACKS", "is_fitted", "main", "networks", "timm_lines", "vision_problem"]

SOURCE = "huggingface/pytorch-image-models@aa4b5850c154 results/benchmark-infer-amp-{layout}-pt240-cu124-rtx3090.csv"
DEVICES: Mapping[str, str] = MappingProxyType({"RTX 3090": "rtx-3090"})
STACKS: Mapping[str, str] = MappingProxyType({"nchw": "pytorch-eager", "nhwc": "pytorch-channels-last"})
"""Layout of the images → the stack that has it."""

FITTED = ("convnext", "efficientnet", "mobilenet", "regnet", "resnet", "resnext", "vgg", "vit")
"""Folders of models of which a part is fitted; every other family is left out as a whole."""

_KERNELS = ("bandwidth_efficiency", "grouped_efficiency", "row_time")
PARAMETERS: Mapping[tuple[str, str], tuple[str, ...]] = MappingProxyType(
    {
        ("pytorch-eager", "rtx-3090"): (*_KERNELS, "depthwise_bandwidth_efficiency"),
        ("pytorch-eager", "v100-sxm2-16gb"): ("host_per_kernel",),
        ("pytorch-eager", "a100-sxm4-80gb"): ("host_per_kernel",),
        ("pytorch-channels-last", "rtx-3090"): _KERNELS,
        ("pytorch-compile", "a100-sxm4-80gb"): ("host_per_kernel",),
        ("tensorrt", "v100-sxm2-16gb"): ("kernel_launch", "tile_split"),
        ("tensorrt", "h100-sxm5-80gb"): ("compute_efficiency",),
        ("tensorrt", "t4"): ("compute_efficiency",),
    }
)
"""What is fitted, by stack and device whose rows fix it."""

FILES = ("timm.csv", "vision.csv")
_HEADER = (
    "source", "device", "stack", "model", "task", "dtype", "batch", "image_size", "metric", "value", "fitted", "notes",
)  # fmt: skip


def is_fitted(name: str, folder: str) -> bool:
    """Whether a fit may see a network: a third of the names in the fitted families, by hash [1].

    References
    ----------
    .. [1] The last hexadecimal digit of sha256(name) is below 5.
    """
    return folder in FITTED and int(hashlib.sha256(name.encode()).hexdigest()[-1], 16) < 5


def timm_lines(table: Iterable[Mapping[str, str]]) -> Iterator[dict[str, str]]:
    """Lines of measurements/timm.csv from the rows of the public table, one per network, size, batch and layout."""
    known = networks()
    seen: set[tuple[str, ...]] = set()
    for row in table:
        name = known.get(row["model"]) or known.get(row["model"].partition(".")[0])
        if name is None or row["mode"] != "infer" or row["device"] not in DEVICES or "eager" not in row["framework"]:
            continue
        key = (name, row["device"], row["layout"], row["img"], row["batch"])
        if key in seen:
            continue
        seen.add(key)
        yield {
            "source": "timm", "device": DEVICES[row["device"]], "stack": STACKS[row["layout"]], "model": name,
            "task": "single-pass", "dtype": "fp16", "batch": row["batch"], "image_size": row["img"],
            "metric": "throughput", "value": row["value"], "fitted": str(int(is_fitted(name, _folder(name)))),
            "notes": row["model"],
        }  # fmt: skip


@lru_cache(maxsize=1)
def networks() -> dict[str, str]:
    """Name in the timm table → name in the catalogue."""
    entries = {name: model_entry(name) for name in model_names()}
    return {entry.timm: name for name, entry in entries.items() if entry.timm}


def _folder(name: str) -> str:
    return next((data_root() / "models").glob(f"*/{name}.toml")).parent.name


def vision_problem(name: str, on: str, dtype: str) -> Problem:
    """Numbers of one stack that the measured rows of one device can fix: fitted rows of timm.csv and vision.csv.

    name: stack; on: device; dtype: fp16 stands for automatic mixed precision where the stack has it.

    Raises
    ------
    InputError
        if nothing of the stack is fitted on that device, or there are no fitted rows of that format.
    """
    if (name, on) not in PARAMETERS:
        known = ", ".join(device for stack, device in PARAMETERS if stack == name)
        raise InputError(f"{name} is fitted on {known}, not on {on}")
    folder = data_root() / "measurements"
    every = [row for file in FILES for row in read_rows(folder / file) if row.stack == name and row.device == on]
    rows = [row for row in every if row.job.dtype == dtype]
    halves = {half: [row for row in rows if row.fitted is half] for half in (True, False)}
    if not halves[True]:
        known = ", ".join(dict.fromkeys(str(row.job.dtype) for row in every if row.fitted))
        raise InputError(f"no fitted rows of {name} on {on} in {dtype}; there are rows in {known or 'no format'}")
    return Problem(
        stack(name).on(device(on)), PARAMETERS[name, on], lambda s: repriced_pairs(halves[True], s),
        lambda s: repriced_pairs(halves[False], s), f"images on {on} in {dtype}",
    )  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Print the lines that the table at ``arguments[0]`` gives; the exit code."""
    return exit_code(lambda: _print_table(arguments))


def _print_table(arguments: Sequence[str]) -> None:
    if len(arguments) != 1:
        raise InputError("expected one argument: the table of timm's results, as CSV")
    print_lines(arguments[0], timm_lines, _HEADER)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
