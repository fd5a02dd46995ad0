"""Idealized runtimes of HELM: the two-phase model, its look-up rule, and Megatron's profiles as a suite.

References
----------
.. [1] D. Narayanan et al., "Cheaply Estimating Inference Efficiency Metrics for Autoregressive Transformer Models",
   arXiv 2305.02440; tables and logs of stanford-crfm/helm-efficiency@c31b8fc and stanford-crfm/helm@63754d0.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from perfsim.catalog.files import data_root
from perfsim.errors import InputError
from perfsim.prediction.predict import predict
from perfsim.prediction.prediction import Prediction
from perfsim.techniques.parallel import Parallel
from perfsim.validation.report import Pair, Report
from perfsim.workloads import Inference

__all__ = [
    "OUTPUTS", "HelmRow", "TwoPhaseModel", "fit_two_phase", "helm_suite", "measured_runtime", "predict_profile",
    "prompt_suite", "read_helm", "read_points", "request_runtimes", "token_suite",
]  # fmt: skip

OUTPUTS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
"""Output sizes that were measured for every prompt size."""

DEVICES: Mapping[str, str] = {"megatron_log_a100": "a100-sxm4-80gb", "megatron_log_v100": "v100-sxm2-32gb"}
STACK = "megatron-2022"
FITTED: Mapping[str, frozenset[str]] = {
    "megatron_log_a100": frozenset({"openai_ada", "gpt2", "gpt_neox_20b", "openai_davinci", "mt_nlg", "yalm"}),
    "megatron_log_v100": frozenset({"openai_ada", "gptj_6b", "anthropic", "openai_davinci"}),
}
"""Profiles that the calibration of the stack used; all others are unseen."""


@dataclass(frozen=True)
class HelmRow:
    """One prompt size of one profile. prompt_runtime α(p) and token_runtime β [s]; gpus: charged devices."""

    source: str
    model: str
    profile: str
    tensor_parallel: int
    gpus: int
    prompt_tokens: int
    prompt_runtime: float
    token_runtime: float

    @property
    def catalogue_model(self) -> str:
        """Name of the profile's network in the catalogue."""
        return "megatron-" + self.profile.replace("_", "-")


def read_helm(path: str | Path | None = None) -> tuple[HelmRow, ...]:
    """Rows of the table of idealized runtimes; the shipped subset unless a path is given.

    Raises
    ------
    InputError
        if the file cannot be read or lacks a column.
    """
    chosen = Path(path) if path is not None else data_root() / "measurements" / "helm-idealized.csv"
    try:
        with chosen.open(newline="", encoding="utf-8") as handle:
            return tuple(_row(line) for line in _lines(handle, _COLUMNS))
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{chosen}: not the table of idealized runtimes: {error}; expected its columns") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{chosen}: cannot be read: {error}") from None


_COLUMNS = (
    "source", "model", "megatron_profile", "tensor_parallel", "gpus_charged", "prompt_tokens", "runtime_for_prompt_s",
    "runtime_per_output_token_s",
)  # fmt: skip


def _lines(handle: Iterable[str], columns: Iterable[str]) -> csv.DictReader[str]:
    """The rows of a table that has these columns, even if it has no row."""
    table = csv.DictReader(handle)
    for name in columns:
        if name not in (table.fieldnames or ()):
            raise ValueError(f"column {name} is missing")
    return table


def _row(line: Mapping[str, str]) -> HelmRow:
    return HelmRow(
        line["source"],
        line["model"],
        line["megatron_profile"],
        int(line["tensor_parallel"]),
        int(line["gpus_charged"]),
        int(line["prompt_tokens"]),
        float(line["runtime_for_prompt_s"]),
        float(line["runtime_per_output_token_s"]),
    )


@dataclass(frozen=True)
class TwoPhaseModel:
    """T(p, o) = α(p) + β·(o − 1), with α tabulated over prompt sizes [1].

    prompts: prompt size → α [s], ascending; token_runtime: β [s]; overhead: constant of an API [s].
    """

    prompts: Mapping[int, float]
    token_runtime: float
    overhead: float = 0.0

    def prompt_runtime(self, prompt_tokens: int) -> float:
        """α(p) [s], linear between the tabulated sizes and in proportion beyond the last one."""
        sizes = list(self.prompts)
        if prompt_tokens <= sizes[0]:
            return self.prompts[sizes[0]]
        for low, high in pairwise(sizes):
            if prompt_tokens <= high:
                share = (prompt_tokens - low) / (high - low)
                return self.prompts[low] + share * (self.prompts[high] - self.prompts[low])
        return self.prompts[sizes[-1]] * prompt_tokens / sizes[-1]

    def runtime(self, prompt_tokens: int, output_tokens: int) -> float:
        """T(p, o) [s]; T(p, 0) = α(p)."""
        return self.overhead + self.prompt_runtime(prompt_tokens) + self.token_runtime * max(output_tokens - 1, 0)

    def helm_runtime(self, prompt_tokens: int, output_tokens: int) -> float:
        """T(p, o) [s] as HELM looks it up: the next tabulated size k ≥ p (or the last one), scaled by p/k.

        The curve is a sawtooth, wrong by up to 8 times just above a small tabulated size: it is here to reproduce
        HELM's published numbers, not to predict.
        """
        size = next((k for k in self.prompts if k >= prompt_tokens), list(self.prompts)[-1])
        prompt = self.prompts[size] * prompt_tokens / size
        return self.overhead + prompt + self.token_runtime * max(output_tokens - 1, 0)


def fit_two_phase(points: Iterable[tuple[int, int, float]]) -> TwoPhaseModel:
    """The two-phase model of measured (prompt tokens, output tokens, runtime [s]) points.

    The least of repeated trials counts (contention only adds). α(p) is the time at one output token, or the
    intercept of the line through the others; β is the slope through the origin of T − α(p) over o − 1, pooled
    over all prompt sizes.

    Raises
    ------
    InputError
        if no prompt size has two different output sizes.
    """
    least: dict[int, dict[int, float]] = {}
    for prompt, output, runtime in points:
        row = least.setdefault(prompt, {})
        row[output] = min(runtime, row.get(output, runtime))
    if not any(len(row) > 1 for row in least.values()):
        raise InputError("no prompt size was measured with two output sizes; expected at least one to find β")
    prompts = {p: row[1] if 1 in row else _intercept(row) for p, row in sorted(least.items())}
    above = below = 0.0
    for p, row in least.items():
        for o, runtime in row.items():
            above += (runtime - prompts[p]) * (o - 1)
            below += (o - 1) ** 2
    return TwoPhaseModel(prompts, above / below)


def _intercept(row: Mapping[int, float]) -> float:
    """Value at one output token of the regression line through a row; the value itself for a single point."""
    outputs, runtimes = list(row), list(row.values())
    mean_o, mean_t = sum(outputs) / len(row), sum(runtimes) / len(row)
    spread = sum((o - mean_o) ** 2 for o in outputs)
    if spread == 0:
        return mean_t
    slope = sum((o - mean_o) * (t - mean_t) for o, t in row.items()) / spread
    return mean_t + slope * (1 - mean_o)


def read_points(path: str | Path) -> tuple[tuple[int, int, float], ...]:
    """(prompt, output, runtime [s]) points of a CSV with columns ``prompt, output, time``.

    Raises
    ------
    InputError
        if the file cannot be read or lacks a column.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as handle:
            lines = _lines(handle, ("prompt", "output", "time"))
            return tuple((int(r["prompt"]), int(r["output"]), float(r["time"])) for r in lines)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a table of points: {error}; expected columns prompt, output, time [s]") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


@lru_cache(maxsize=4096)
def predict_profile(row: HelmRow, device: str, stack: str = STACK) -> Prediction:
    """Perfsim's prediction of one prompt size of a profile with the largest output size."""
    layout = Parallel(tensor=row.tensor_parallel, pipeline=row.gpus // row.tensor_parallel)
    job = Inference(prompt_tokens=row.prompt_tokens, output_tokens=OUTPUTS[-1], dtype="fp16")
    return predict(row.catalogue_model, job, device, count=row.gpus, stack=stack, using=[layout])


def request_runtimes(prediction: Prediction, outputs: Sequence[int] = OUTPUTS) -> list[float]:
    """Runtime [s] of the same prompt with each number of output tokens: partial sums over the decode steps."""
    import numpy as np

    decode = prediction.phase("decode")
    steps = np.broadcast_to(np.asarray(decode.step_runtimes, dtype=float), (OUTPUTS[-1] - 1,))
    sums = np.concatenate([[0.0], np.cumsum(steps)])
    return [prediction.phase("prefill").runtime + float(sums[o - 1]) for o in outputs]


def measured_runtime(row: HelmRow, output_tokens: int) -> float:
    """Measured runtime of a request [s], from the row's two-phase numbers (R² of this model is .998-1.000 [1])."""
    return row.prompt_runtime + row.token_runtime * (output_tokens - 1)


def _profiles(path: str | Path | None) -> Iterator[tuple[HelmRow, str, bool]]:
    for row in read_helm(path):
        if row.source in DEVICES:
            yield row, DEVICES[row.source], row.profile in FITTED[row.source]


def helm_suite(path: Path | None = None) -> Report:
    """Whole requests: every measured (prompt, output) size of the Megatron profiles on A100 and V100."""
    pairs = []
    for row, device, fitted in _profiles(path):
        runtimes = request_runtimes(predict_profile(row, device))
        for output, predicted in zip(OUTPUTS, runtimes, strict=True):
            what = f"{row.prompt_tokens} prompt, {output} output tokens"
            pairs.append(Pair(device, row.catalogue_model, what, predicted, measured_runtime(row, output), fitted))
    return Report("helm", tuple(pairs))


def prompt_suite(path: Path | None = None) -> Report:
    """Prompt times α(p) alone, the hardest part of the requests."""
    pairs = []
    for row, device, fitted in _profiles(path):
        predicted = predict_profile(row, device).phase("prefill").runtime
        pairs.append(
            Pair(
                device, row.catalogue_model, f"{row.prompt_tokens} prompt tokens", predicted, row.prompt_runtime, fitted
            )
        )
    return Report("helm-prompt", tuple(pairs))


def token_suite(path: Path | None = None) -> Report:
    """Time per output token β: one row per profile, predicted at a prompt of 512 tokens (or the nearest)."""
    nearest: dict[tuple[str, str], tuple[HelmRow, str, bool]] = {}
    for row, device, fitted in _profiles(path):
        best = nearest.get((row.source, row.profile))
        if best is None or abs(row.prompt_tokens - 512) < abs(best[0].prompt_tokens - 512):
            nearest[row.source, row.profile] = (row, device, fitted)
    pairs = []
    for row, device, fitted in nearest.values():
        predicted = predict_profile(row, device).tpot
        pairs.append(
            Pair(device, row.catalogue_model, "per output token", float(predicted or 0.0), row.token_runtime, fitted)
        )
    return Report("helm-token", tuple(pairs))
