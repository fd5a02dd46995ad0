"""The files that a sweep can end in: CSV, Parquet and NetCDF, each written from the tables of its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from perfsim.sweeps.metrics import METRICS

if TYPE_CHECKING:
    from perfsim.sweeps.sweep import Sweep

__all__ = ["WRITERS"]

Parts = Sequence[tuple[slice, ...]]


def _units(plan: Sweep) -> dict[str, str]:
    from perfsim.sweeps.dataset import coordinate

    found = {c: coordinate(plan, c)[1] for axis in plan.axes for c in axis.columns}
    return {**found, **{name: METRICS[name].unit for name in plan.metrics}}


def _write_parquet(plan: Sweep, _: Parts, tables: Iterator[Any], path: Path) -> None:
    """One row group per part; units are in the metadata of the columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    units, writer = _units(plan), None
    try:
        for table in tables:
            plain = _plain(table)
            schema = pa.schema([f.with_metadata({"units": units.get(f.name, "")}) for f in plain.schema])
            if writer is None:
                writer = pq.ParquetWriter(path, schema, compression="zstd", compression_level=1)
            writer.write_table(plain.cast(writer.schema))
    finally:
        if writer is not None:
            writer.close()


def _plain(table: Any) -> Any:
    """Texts as texts: the parts of a sweep may know different ones."""
    import pyarrow as pa

    types = [pa.field(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in table.schema]
    return table.cast(pa.schema(types))


def _write_csv(_plan: Sweep, _: Parts, tables: Iterator[Any], path: Path) -> None:
    """Comma-separated, one line of names, empty where nothing is known."""
    import pyarrow.csv as pc

    writer = None
    try:
        for table in tables:
            plain = _plain(table)
            if writer is None:
                writer = pc.CSVWriter(path, plain.schema)
            writer.write_table(plain)
    finally:
        if writer is not None:
            writer.close()


def _write_netcdf(plan: Sweep, parts: Parts, tables: Iterator[Any], path: Path) -> None:
    """NetCDF 4 with the dimensions of the sweep; bounds are numbers with ``flag_meanings``."""
    import h5netcdf
    import numpy as np

    from perfsim.sweeps.dataset import coordinate

    dims = tuple(axis.name for axis in plan.axes)
    with h5netcdf.File(path, "w") as file:
        file.dimensions = dict(zip(dims, plan.sizes, strict=True))
        for axis in plan.axes:
            for column in axis.columns:
                values, unit = coordinate(plan, column)
                _coordinate(file, axis.name, column, values, unit)
        variables = {name: _variable(file, name, dims) for name in (*plan.metrics, "refused")}
        for part, table in zip(parts, tables, strict=True):
            shape = [s.stop - s.start for s in part]
            for name, variable in variables.items():
                variable[part] = _block(table[name], name).reshape(shape)
        file.attrs["job"] = np.bytes_(repr(plan.job))


def _coordinate(file: Any, dimension: str, column: str, values: Any, unit: str) -> None:
    import h5py

    text = values.dtype.kind in "OU"
    data = values.astype(object) if text else values
    kind = h5py.string_dtype() if text else values.dtype
    variable = file.create_variable(column, (dimension,), dtype=kind, data=data)
    if unit:
        variable.attrs["units"] = unit


def _variable(file: Any, name: str, dims: tuple[str, ...]) -> Any:
    metric = METRICS.get(name)
    small = name in ("fits", "refused") or (metric is not None and bool(metric.choices))
    variable = file.create_variable(name, dims, dtype="i1" if small else "f8", compression="gzip", compression_opts=1)
    if metric is not None:
        variable.attrs["long_name"] = metric.meaning
        if metric.unit:
            variable.attrs["units"] = metric.unit
        if metric.choices:
            variable.attrs["flag_meanings"] = " ".join(("refused", *metric.choices))
    return variable


def _block(column: Any, name: str) -> Any:
    import numpy as np

    choices = METRICS[name].choices if name in METRICS else ()
    if choices:
        places = {choice: place for place, choice in enumerate(choices)}
        return np.array([places.get(v, -1) for v in column.to_pylist()], dtype="i1")
    values = column.to_numpy()
    return values.astype("i1") if values.dtype == bool else values.astype(float)


WRITERS: Mapping[str, Callable[[Sweep, Parts, Iterator[Any], Path], None]] = MappingProxyType(
    {".csv": _write_csv, ".parquet": _write_parquet, ".nc": _write_netcdf}
)
"""By the ending of the file's name."""
