"""Measured rows: one CSV format for everybody's measurements, and what perfsim predicts for each row."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from perfsim.errors import InputError, PerfsimError
from perfsim.prediction.predict import predict
from perfsim.prediction.prediction import Prediction
from perfsim.techniques.base import Technique
from perfsim.techniques.parallel import Parallel
from perfsim.workloads import Decode, Diffusion, Inference, Job, Prefill, SinglePass, Training

__all__ = ["COLUMNS", "METRICS", "Row", "predict_row", "predicted_value", "read_rows"]

COLUMNS = (
    "source",
    "device",
    "count",
    "stack",
    "model",
    "task",
    "dtype",
    "batch",
    "prompt_tokens",
    "output_tokens",
    "context_length",
    "image_size",
    "steps",
    "sequence",
    "global_batch",
    "micro_batch",
    "tensor_parallel",
    "pipeline_parallel",
    "data_parallel",
    "using",
    "operating_point",
    "operator",
    "metric",
    "value",
    "fitted",
    "notes",
)
"""Columns of a measurement file; measurements/README.md explains each."""

METRICS = ("runtime", "ttft", "tpot", "step_time", "throughput", "mfu", "energy", "power", "cost")
"""What a row may measure, in SI units."""

_REQUIRED = ("device", "stack", "model", "task", "metric", "value")


@dataclass(frozen=True)
class Row:
    """One measurement: what ran where, and what was measured (SI).

    fitted: whether a calibration used it; operating_point: of the device, "" for its own; operator: whose runtime of
    one execution was measured, "" for the whole job; line: of the file.
    """

    source: str
    device: str
    count: int
    stack: str
    model: str
    job: Job
    layout: Parallel | None
    using: tuple[str, ...]
    metric: str
    value: float
    fitted: bool
    notes: str
    operating_point: str = ""
    operator: str = ""
    line: int = 0


def read_rows(path: str | Path) -> tuple[Row, ...]:
    """Rows of a measurement file.

    Raises
    ------
    InputError
        naming file, line and column of what cannot be read.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle)
            missing = [c for c in _REQUIRED if c not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path}: column {missing[0]} is missing; expected {', '.join(COLUMNS)}")
            return tuple(
                replace(_row(line, f"{path}:{number}"), line=number) for number, line in enumerate(reader, start=2)
            )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def _row(line: dict[str, Any], where: str) -> Row:
    cells = {
        key: (value or "").strip()
        for key, value in line.items()
        if isinstance(key, str) and not isinstance(value, list)
    }
    if cells["metric"] not in METRICS:
        raise InputError(f'{where}: metric "{cells["metric"]}", expected one of {", ".join(METRICS)}')
    try:
        value = float(cells["value"])
    except ValueError:
        raise InputError(f'{where}: value "{cells["value"]}", expected a number in SI units') from None
    if not 0 < value < float("inf"):
        raise InputError(f"{where}: value {value}, expected a number above 0")
    layout = [_whole(cells, name, where) for name in ("tensor_parallel", "pipeline_parallel", "data_parallel")]
    count = _whole(cells, "count", where) or 1
    parallel = None
    if any(layout):
        tensor, pipeline, data = (n or 1 for n in layout)
        micro = _whole(cells, "micro_batch", where) or 0
        parallel = Parallel(tensor=tensor, pipeline=pipeline, data=data, micro_batch=micro)
        count = tensor * pipeline * data
    using = tuple(item for item in cells.get("using", "").split(";") if item)
    return Row(
        cells.get("source", ""),
        cells["device"],
        count,
        cells["stack"],
        cells["model"],
        _job(cells, where),
        parallel,
        using,
        cells["metric"],
        value,
        cells.get("fitted", "") in ("1", "true", "yes"),
        cells.get("notes", ""),
        cells.get("operating_point", ""),
        cells.get("operator", ""),
    )


def _whole(cells: dict[str, str], name: str, where: str) -> int | None:
    text = cells.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise InputError(f'{where}: {name} "{text}", expected a whole number') from None


def _job(cells: dict[str, str], where: str) -> Job:
    kinds: dict[str, type[Job]] = {
        "inference": Inference, "prefill": Prefill, "decode": Decode, "single-pass": SinglePass,
        "diffusion": Diffusion, "training": Training,
    }  # fmt: skip
    task = cells["task"]
    if task not in kinds:
        raise InputError(f'{where}: task "{task}", expected one of {", ".join(kinds)}')
    names = {
        "inference": ("batch", "prompt_tokens", "output_tokens"),
        "prefill": ("batch", "prompt_tokens"),
        "decode": ("batch", "context_length"),
        "single-pass": ("batch", "image_size", "sequence"),
        "diffusion": ("batch", "image_size", "steps"),
        "training": ("global_batch", "sequence"),
    }[task]
    values = {name: _whole(cells, name, where) for name in names}
    try:
        return kinds[task](dtype=cells.get("dtype") or None, **{k: v for k, v in values.items() if v is not None})
    except PerfsimError as error:
        raise InputError(f"{where}: {error}") from None


def predict_row(row: Row) -> Prediction:
    """What perfsim predicts for a row.

    Raises
    ------
    PerfsimError
        as :func:`perfsim.predict`.
    """
    using: list[str | Technique] = [*row.using, *([row.layout] if row.layout else [])]
    point = {"device.operating_point": row.operating_point} if row.operating_point else None
    return predict(row.model, row.job, row.device, count=row.count, stack=row.stack, using=using, what_if=point)


def predicted_value(prediction: Prediction, row: Row) -> float | None:
    """The measured quantity as predicted; None where the job has none.

    Raises
    ------
    InputError
        if the row names an operator that the prediction has not, or another metric of it than its runtime.
    """
    if not row.operator:
        value: float | None = getattr(prediction, row.metric)
        return value
    found = [entry for entry in prediction.operators if entry.name == row.operator]
    if row.metric != "runtime" or not found:
        raise InputError(f'operator "{row.operator}": expected the runtime of a kernel of {row.model}')
    return float(found[0].runtime / found[0].count)
