"""Measured rows under other parameters of a stack, and tables that become rows: what the refits share."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from perfsim.devices import Stack
from perfsim.errors import InputError
from perfsim.prediction.prediction import Prediction
from perfsim.validation.rows import Row, predict_row

__all__ = ["Lines", "planned_row", "print_lines", "repriced_pairs"]

Lines = Callable[[Iterable[Mapping[str, str]]], Iterable[Mapping[str, str]]]


@lru_cache(maxsize=4096)
def planned_row(row: Row) -> Prediction:
    """The prediction of a row, whose plan serves every trial of a fit."""
    return predict_row(row)


def repriced_pairs(rows: Sequence[Row], under: Stack) -> list[tuple[float, float]]:
    """Predicted and measured value of each row under ``under``, resolved for its device."""
    return [(float(getattr(planned_row(row).repriced(under), row.metric)), row.value) for row in rows]


def print_lines(table: str, lines_of: Lines, header: Sequence[str]) -> None:
    """Print the lines that ``lines_of`` makes of the CSV file ``table``, nothing if it cannot be read.

    Raises
    ------
    InputError
        if the file cannot be read, or lacks a column.
    """
    try:
        with Path(table).open(newline="", encoding="utf-8") as handle:
            lines = list(lines_of(csv.DictReader(handle)))
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise InputError(f"{table}: cannot be read: {error}") from None
    writer = csv.DictWriter(sys.stdout, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
