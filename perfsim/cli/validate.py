"""``perfsim validate``: predicted against measured, in the open."""

from __future__ import annotations

from math import isnan
from pathlib import Path

import click

from perfsim.cli.output import json_option, print_json, print_table
from perfsim.errors import InputError
from perfsim.validation.report import Report

__all__ = ["command"]


@click.command(name="validate")
@click.argument("suite", required=False)
@click.option("--file", "path", type=click.Path(path_type=Path), help="Measured rows instead of the shipped ones.")
@json_option
def command(suite: str | None, path: Path | None, as_json: bool) -> None:
    """Compare predictions with measurements: SUITE, all suites, or the rows of a file.

    With --file and no SUITE the file has the columns of measurements/README.md; with a SUITE it has the
    format of that suite's own file.
    """
    from perfsim.validation.suites import SUITES, file_suite, run_suite

    if path is not None and not path.is_file():
        raise InputError(f"{path}: no such file; expected measured rows, see measurements/README.md")
    if suite is None and path is not None:
        reports = [file_suite(path)]
    else:
        reports = [run_suite(name, path) for name in ([suite] if suite else SUITES)]
    if as_json:
        documents = [report.to_dict() for report in reports]
        print_json(documents[0] if suite or path else documents)
        return
    for report in reports:
        _show(report)


def _show(report: Report) -> None:
    columns = ("device", "model", "rows", "mean %", "median %", "bias %", "90th %", "tau", "")
    cells = [
        (device, model, *_cells(report.statistics(pairs)), "fitted" if fitted else "unseen")
        for device, model, fitted, pairs in report.groups()
    ]
    seen = {fitted: [p for p in report.pairs if p.fitted is fitted] for fitted in (True, False)}
    for fitted, word in ((True, "fitted"), (False, "unseen")):
        if seen[fitted]:
            cells.append(("all", "", *_cells(report.statistics(seen[fitted])), word))
    cells.append(("all", "", *_cells(report.statistics()), ""))
    print_table(f"{report.suite}: predicted against measured", columns, cells, columns[2:8])
    worst = [
        (p.device, p.model, p.what, f"{p.predicted:.4g}", f"{p.measured:.4g}", f"{100 * p.error:+.1f}")
        for p in report.worst()
    ]
    headings = ("device", "model", "row", "predicted", "measured", "error %")
    print_table(f"{report.suite}: worst rows (SI units)", headings, worst, headings[3:])
    for line in report.skipped:
        click.echo(f"not predicted: {line}", err=True)


def _cells(statistics: dict[str, float]) -> tuple[str, ...]:
    errors = (_cell(statistics[name], 1) for name in ("mape", "mdape", "bias", "p90"))
    return (str(int(statistics["rows"])), *errors, _cell(statistics["kendall"], 2))


def _cell(number: float, digits: int) -> str:
    """A number, or a dash where there is none: one row has no rank correlation."""
    return "-" if isnan(number) else f"{number:.{digits}f}"
