"""What can be refitted: which parameters of which stack, to which rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from perfsim.catalog.files import data_root
from perfsim.catalog.hardware import device, stack
from perfsim.devices import Stack
from perfsim.errors import InputError
from perfsim.validation.edge import EDGE_PARAMETERS, edge_problem
from perfsim.validation.files import FITS, file_problem
from perfsim.validation.gemm import STACK, gemm_pairs, read_gemm
from perfsim.validation.helm import (
    DEVICES,
    FITTED,
    HelmRow,
    measured_runtime,
    predict_profile,
    read_helm,
    request_runtimes,
)
from perfsim.validation.refit import Problem
from perfsim.validation.repricing import repriced_pairs
from perfsim.validation.rows import read_rows
from perfsim.validation.vision import PARAMETERS, vision_problem

__all__ = ["REFITS", "gemm_problem", "megatron_problem", "vllm_problem"]

REQUESTS = (1, 8, 64)
"""Output sizes that a Megatron refit looks at: the prompt alone, both phases, mostly decoding."""


def gemm_problem(on: str, dtype: str) -> Problem:
    """Fixed time and efficiencies of single matrix products: measurements/gemm.csv, fitted half and left-out half.

    on: device; dtype: number format; where the stack has values of its own for that format, those are fitted.

    Raises
    ------
    InputError
        if the file has no rows of that device and format.
    """
    start = stack(STACK).on(device(on))
    every = read_gemm()[0]
    rows = [row for row in every if row.device == on and row.dtype.name == dtype]
    if not rows:
        known = ", ".join(dict.fromkeys(f"{row.device} {row.dtype}" for row in every))
        raise InputError(f"measurements/gemm.csv has no rows of {on} in {dtype}; it has {known}")
    own = tuple(f"dtype.{dtype}.{name}" for name, _ in start.paths(f"dtype.{dtype}"))
    chosen = own or ("kernel_launch", "compute_efficiency", "bandwidth_efficiency")
    halves = {half: [row for row in rows if row.fitted is half] for half in (True, False)}
    return Problem(
        start, chosen, lambda s: gemm_pairs(halves[True], s), lambda s: gemm_pairs(halves[False], s),
        f"gemm of {on} in {dtype}",
    )  # fmt: skip


def megatron_problem(on: str, dtype: str) -> Problem:
    """Host, efficiencies and alignment of Megatron 2022: requests of the fitted profiles in helm-idealized.csv.

    on: ``a100-sxm4-80gb`` fits seven numbers, ``v100-sxm2-32gb`` only the two host times; dtype: fp16.

    Raises
    ------
    InputError
        for another device or format.
    """
    sources = {name: source for source, name in DEVICES.items()}
    if on not in sources or dtype != "fp16":
        raise InputError(f"megatron was measured on {' and '.join(sources)} in fp16, not on {on} in {dtype}")
    host = ("host_per_layer", "host_per_collective")
    kernel = ("compute_efficiency", "bandwidth_efficiency", "misaligned_efficiency", "host_per_token", "host_per_step")
    source = sources[on]
    rows = [row for row in read_helm() if row.source == source]
    halves = {half: [row for row in rows if (row.profile in FITTED[source]) is half] for half in (True, False)}
    return Problem(
        stack("megatron-2022").on(device(on)), host if on.startswith("v100") else (*kernel, *host),
        lambda s: _helm_pairs(halves[True], s), lambda s: _helm_pairs(halves[False], s), f"Megatron requests on {on}",
    )  # fmt: skip


def _helm_pairs(rows: Sequence[HelmRow], under: Stack) -> list[tuple[float, float]]:
    pairs = []
    for row in rows:
        runtimes = request_runtimes(predict_profile(row, DEVICES[row.source]).repriced(under), REQUESTS)
        pairs += [(t, measured_runtime(row, o)) for o, t in zip(REQUESTS, runtimes, strict=True)]
    return pairs


def vllm_problem(on: str, dtype: str) -> Problem:
    """Gap between steps (and host time per sequence) of vLLM: rows marked fitted in measurements/vllm.csv.

    Raises
    ------
    InputError
        if the file has no fitted rows of that device and format.
    """
    every = [row for row in read_rows(data_root() / "measurements" / "vllm.csv") if row.job.dtype == dtype]
    rows = [row for row in every if row.device == on]
    halves = {half: [row for row in rows if row.fitted is half] for half in (True, False)}
    if not halves[True]:
        known = ", ".join(dict.fromkeys(f"{row.device} {row.job.dtype}" for row in every if row.fitted))
        raise InputError(f"measurements/vllm.csv has no fitted rows of {on} in {dtype}; it has {known or 'none'}")
    many = any(isinstance(row.job.batch, int) and row.job.batch > 1 for row in halves[True])
    return Problem(
        stack("vllm").on(device(on)), ("step_gap", "host_per_sequence") if many else ("step_gap",),
        lambda s: repriced_pairs(halves[True], s), lambda s: repriced_pairs(halves[False], s),
        f"vLLM latencies on {on}",
    )  # fmt: skip


REFITS: Mapping[str, Callable[[str, str], Problem]] = MappingProxyType(
    {
        "gemm": gemm_problem, "megatron": megatron_problem, "vllm": vllm_problem,
        **{name: partial(edge_problem, name) for name in EDGE_PARAMETERS},
        **{name: partial(file_problem, name) for name in FITS},
        **{f"vision-{name}": partial(vision_problem, name) for name in dict.fromkeys(name for name, _ in PARAMETERS)},
    }
)
"""Name → the problem for a device and a number format. Another calibration is one more entry."""
