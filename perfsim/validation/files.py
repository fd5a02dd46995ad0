"""Fits to measurement files: fitted rows fix some numbers of a stack, the other rows judge them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from perfsim.catalog.files import data_root
from perfsim.catalog.hardware import device, stack
from perfsim.errors import InputError
from perfsim.validation.refit import Problem
from perfsim.validation.repricing import repriced_pairs
from perfsim.validation.rows import read_rows

__all__ = ["FITS", "file_problem"]

FITS: Mapping[str, tuple[str, Mapping[str, tuple[str, ...]]]] = MappingProxyType(
    {
        "diffusion": (
            "xdit",
            {"h100-sxm5-80gb": ("compute_efficiency", "attention_efficiency", "bandwidth_efficiency")},
        ),
        "megatron-training": (
            "megatron",
            {"a100-sxm4-80gb": ("host_per_kernel", "host_per_step", "bandwidth_efficiency", "link_efficiency")},
        ),
        "fsdp-training": (
            "fsdp",
            {"a100-sxm4-80gb": ("host_per_kernel", "attention_efficiency", "bandwidth_efficiency")},
        ),
        "fastertransformer": (
            "fastertransformer",
            {
                "a100-sxm4-80gb": ("kernel_launch", "compute_efficiency", "bandwidth_efficiency"),
                "t4": ("kernel_launch", "compute_efficiency", "bandwidth_efficiency"),
            },
        ),
    }
)
"""Measurement file → the stack that it calibrates, and what is fitted on which device."""


def file_problem(name: str, on: str, dtype: str) -> Problem:
    """Numbers of one stack from the runtimes marked fitted in one file.

    name: file and suite; on: device; dtype: number format of the rows; where the stack has values of its own for that
    format, those are fitted.

    Raises
    ------
    InputError
        if nothing is fitted on that device, or there are no fitted rows of that format.
    """
    software, parameters = FITS[name]
    if on not in parameters:
        raise InputError(f"{software} is fitted on {', '.join(parameters)}, not on {on}")
    every = [r for r in read_rows(data_root() / "measurements" / f"{name}.csv") if r.device == on]
    rows = [row for row in every if row.metric in ("runtime", "step_time", "throughput") and row.job.dtype == dtype]
    halves = {half: [row for row in rows if row.fitted is half] for half in (True, False)}
    if not halves[True]:
        known = ", ".join(dict.fromkeys(str(row.job.dtype) for row in every if row.fitted))
        raise InputError(f"no fitted rows of {software} on {on} in {dtype}; there are rows in {known or 'no format'}")
    start = stack(software).on(device(on))
    own = tuple(f"dtype.{dtype}.{key}" for key, _ in start.paths(f"dtype.{dtype}"))
    return Problem(
        start, own or parameters[on], lambda s: repriced_pairs(halves[True], s),
        lambda s: repriced_pairs(halves[False], s), f"{name} on {on} in {dtype}",
    )  # fmt: skip
