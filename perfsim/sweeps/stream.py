"""Sweeps to files: part by part, so that memory stays bounded and an interrupted sweep goes on where it stopped.

Finished parts lie in a folder ``FILE.parts`` beside the output. Once all are there, the output is written from them
under a temporary name and renamed; it appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perfsim.errors import InputError
from perfsim.sweeps.dataset import coordinate
from perfsim.sweeps.formats import WRITERS
from perfsim.sweeps.metrics import METRICS

if TYPE_CHECKING:
    from perfsim.sweeps.sweep import Sweep
    from perfsim.sweeps.variant import Result

__all__ = ["ROWS", "Evaluated", "evaluated_here", "parts_of", "table_of", "whole_result", "write_sweep"]

ROWS = 1 << 18
"""Points of a part [1]: about 60 MB as arrays."""

Progress = Callable[[int], None]

Evaluated = Callable[["Sweep", Sequence[tuple[slice, ...]]], Iterator["Result"]]
"""Results of some parts of a sweep, in their order."""


def evaluated_here(plan: Sweep, parts: Sequence[tuple[slice, ...]]) -> Iterator[Result]:
    """Results of some parts, evaluated by this process one after the other."""
    return map(plan.evaluate, parts)


def parts_of(plan: Sweep, rows: int = ROWS) -> list[tuple[slice, ...]]:
    """Boxes of at most ``rows`` points that cover the sweep in the order of its points, the last axis fastest."""
    inner, walked = 1, len(plan.sizes)
    while walked and inner * plan.sizes[walked - 1] <= rows:
        walked -= 1
        inner *= plan.sizes[walked]
    steps = [1] * max(walked - 1, 0) + [max(1, rows // inner)] * min(walked, 1)
    starts = [range(0, n, step) for n, step in zip(plan.sizes[:walked], steps, strict=True)]
    whole = tuple(slice(0, n) for n in plan.sizes[walked:])
    return [
        (*(slice(at, min(at + step, n)) for at, step, n in zip(place, steps, plan.sizes, strict=False)), *whole)
        for place in product(*starts)
    ]


def whole_result(plan: Sweep, evaluated: Evaluated, rows: int = ROWS) -> Result:
    """Metrics over all points, with the parts evaluated as ``evaluated`` does it."""
    import numpy as np

    from perfsim.sweeps.variant import assembled

    parts = parts_of(plan, rows)
    places = [{d: np.arange(s.start, s.stop) for d, s in enumerate(part)} for part in parts]
    return assembled(plan.sizes, list(zip(places, evaluated(plan, parts), strict=True)))


def table_of(plan: Sweep, part: Sequence[slice], result: Result, chosen: Any = None) -> Any:
    """A part as ``pyarrow.Table``: one row per point, or per chosen one by number, the axes first. NaN is null."""
    import numpy as np
    import pyarrow as pa

    sizes = tuple(len(range(*s.indices(n))) for s, n in zip(part, plan.sizes, strict=True))
    columns: dict[str, Any] = {}
    for d, axis in enumerate(plan.axes):
        places = np.arange(sizes[d]).reshape([-1 if i == d else 1 for i in range(len(sizes))])
        rows = _picked(places, sizes, chosen)
        for column in axis.columns:
            values = _coordinates(plan)[column][part[d]]
            columns[column] = _texts(values, rows) if values.dtype.kind in "OU" else pa.array(values[rows])
    for name in (*plan.metrics, "refused"):
        values = _picked(result[name], sizes, chosen)
        choices = METRICS[name].choices if name in METRICS else ()
        if choices:
            codes = pa.array(np.where(np.isnan(values), 0, values).astype(np.int32), mask=np.isnan(values))
            columns[name] = pa.DictionaryArray.from_arrays(codes, pa.array(choices))
        else:
            columns[name] = pa.array(values, from_pandas=True)
    return pa.table(columns)


def _picked(values: Any, sizes: tuple[int, ...], chosen: Any) -> Any:
    import numpy as np

    whole = np.broadcast_to(values, sizes)
    return np.ravel(whole) if chosen is None else whole[np.unravel_index(chosen, sizes)]


def _texts(values: Any, rows: Any) -> Any:
    import numpy as np
    import pyarrow as pa

    unique, codes = np.unique(values, return_inverse=True)
    return pa.DictionaryArray.from_arrays(
        pa.array(codes.ravel()[rows].astype(np.int32)), pa.array(list(map(str, unique)))
    )


def _coordinates(plan: Sweep) -> dict[str, Any]:
    found: dict[str, Any] = plan.__dict__.setdefault("coordinates", {})
    if not found:
        found.update({column: coordinate(plan, column)[0] for axis in plan.axes for column in axis.columns})
    return found


def _fingerprint(plan: Sweep, parts: int) -> str:
    """What tells this sweep from another one."""
    from perfsim.sweeps.sweep import label

    asked = [
        [(axis.name, [(c, [label(v) for v in values]) for c, values in axis.columns.items()]) for axis in plan.axes],
        repr(plan.job), sorted((k, label(v)) for k, v in plan.base.items()), sorted(map(repr, plan.what_if.items())),
        sorted(map(repr, plan.money.items())), plan.metrics, parts, version("perfsim"),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def write_sweep(
    plan: Sweep, path: str | Path, progress: Progress | None = None, rows: int = ROWS,
    evaluated: Evaluated = evaluated_here,
) -> int:  # fmt: skip
    """Write all points to ``path`` (.csv, .parquet or .nc) and return how many parts were there already.

    progress: is told how many points are finished; evaluated: who evaluates the parts.

    Raises
    ------
    InputError
        for another ending, a folder that cannot be written, finished parts of another sweep, or a full disk; what was
        finished stays and is used by the next run of the same sweep.
    """
    target = Path(path)
    writer = WRITERS.get(target.suffix.lower())
    if writer is None:
        raise InputError(f"{path}: unknown kind of file; expected a name that ends in {', '.join(WRITERS)}")
    if target.is_dir() or not target.resolve().parent.is_dir():
        raise InputError(f"{path}: cannot be written; expected a file in an existing folder")
    parts = parts_of(plan, rows)
    folder = target.with_name(target.name + ".parts")
    try:
        return _written(plan, parts, folder, target, writer, progress, evaluated)
    except OSError as error:
        raise InputError(
            f"{error.filename or path}: cannot be written: {error.strerror or error}; finished parts are kept in "
            f"{folder}, make room and run the same sweep again to go on"
        ) from None


def _written(
    plan: Sweep, parts: list[tuple[slice, ...]], folder: Path, target: Path, writer: Any, progress: Progress | None,
    evaluated: Evaluated,
) -> int:  # fmt: skip
    _opened(folder, _fingerprint(plan, len(parts)))
    files = [folder / f"{number:06d}.parquet" for number in range(len(parts))]
    missing = [number for number, file in enumerate(files) if not file.exists()]
    advance = progress or (lambda _: None)
    if len(missing) < len(parts):
        advance(plan.points - sum(_points(parts[number]) for number in missing))
    results = evaluated(plan, [parts[number] for number in missing])
    for number, result in zip(missing, results, strict=True):
        _save(table_of(plan, parts[number], result), files[number])
        advance(_points(parts[number]))
    temporary = target.with_name(f".perfsim-{os.getpid()}-{target.name}.tmp")
    try:
        writer(plan, parts, _tables(folder, len(parts)), temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    shutil.rmtree(folder)
    return len(parts) - len(missing)


def _points(part: Sequence[slice]) -> int:
    total = 1
    for s in part:
        total *= s.stop - s.start
    return total


def _opened(folder: Path, fingerprint: str) -> None:
    """The folder of parts; finished parts of another sweep are refused, not thrown away."""
    note = folder / "sweep.json"
    if folder.exists():
        try:
            same = json.loads(note.read_text(encoding="utf-8"))["sweep"] == fingerprint
        except (OSError, ValueError, KeyError):
            raise InputError(f"{folder}: exists and holds no parts of a sweep; move it away") from None
        if same:
            return
        if any(folder.glob("*.parquet")):
            raise InputError(
                f"{folder}: holds finished parts of another sweep; run that one again to go on with it, write this one "
                f"elsewhere, or remove the folder"
            )
        shutil.rmtree(folder)
    folder.mkdir()
    note.write_text(json.dumps({"sweep": fingerprint}), encoding="utf-8")


def _save(table: Any, file: Path) -> None:
    import pyarrow.parquet as pq

    temporary = file.with_suffix(".tmp")
    try:
        pq.write_table(table, temporary, compression="lz4", use_dictionary=False, write_statistics=False)
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _tables(folder: Path, count: int) -> Iterator[Any]:
    import pyarrow.parquet as pq

    for number in range(count):
        yield pq.read_table(folder / f"{number:06d}.parquet")
