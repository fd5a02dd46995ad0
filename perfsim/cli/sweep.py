"""``perfsim sweep``: many predictions at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from click.core import ParameterSource

from perfsim.catalog import model as find_model
from perfsim.cli.options import changes_of, job_options, read_request, task_of
from perfsim.cli.output import json_option, print_json, print_table
from perfsim.errors import InputError, UnknownNameError
from perfsim.export.files import write_whole
from perfsim.sweeps import METRICS, Sweep, parts_of, plan_sweep, write_sweep
from perfsim.sweeps.axes import read_values
from perfsim.sweeps.ranking import Ranking
from perfsim.sweeps.stream import Evaluated, evaluated_here, whole_result

__all__ = ["command"]

SHOWN = ("runtime", "ttft", "tpot", "throughput", "cost", "bound")
"""Metrics of the printed table."""

MONEY = ("region", "pue", "offer")


@click.command(name="sweep")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--on", "devices", required=True, multiple=True, metavar="DEVICE", help="Device; repeatable.")
@click.option(
    "--vary", "varied", multiple=True, metavar="NAME=SPEC",
    help="An axis, repeatable: a field of the job, a what-if path, stack, count, dtype or using.NAME.PARAMETER; "
    "SPEC is a,b,c or low:high:step or low:high:x2, up to the last value not above high; units allowed.",
)  # fmt: skip
@click.option("--out", metavar="FILE", help="Write all points to FILE.csv, .parquet or .nc, part by part.")
@click.option("--html", "page", metavar="FILE", help="Write a page with a plot whose axes can be chosen.")
@click.option("--pareto", metavar="X,Y", help="Show the points that no other one beats in all of these metrics.")
@click.option("--best", metavar="METRIC", default="runtime", show_default=True, help="Show the best points by this.")
@click.option("--limit", type=click.IntRange(1, 10000), default=20, show_default=True, help="Points that are shown.")
@click.option(
    "--scheduler", metavar="ADDRESS|local",
    help="Evaluate on a dask cluster: its address, or local for one of two processes on this machine.",
)
@click.option("--compiled/--interpreted", default=None, help="Use numba. Default: for large sweeps, if it is there.")
@job_options
@json_option
def command(
    models: tuple[str, ...], devices: tuple[str, ...], varied: tuple[str, ...], out: str | None, pareto: str | None,
    page: str | None, best: str, limit: int, scheduler: str | None, compiled: bool | None, as_json: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Predict every combination of MODELs, devices and axes."""
    _check_tasks(models, options)
    axes = _axes(varied)
    _check_axes(axes)
    request = read_request(models[0], devices[0], options)
    job, money = request.job, {name: options[name] for name in MONEY}
    plan = plan_sweep(
        list(models), job, list(devices), count=axes.pop("count", options["count"]),
        stack=axes.pop("stack", options["stack"]),
        using=request.using, vary=axes, what_if=changes_of(options["changes"]), compiled=compiled, **money,
    )  # fmt: skip
    ranking = Ranking(plan, _objectives(pareto) if pareto is not None else (best,), limit)
    with _evaluation(scheduler) as evaluated:
        text = None if page is None else _page(plan, pareto, evaluated)
        if out is not None:
            _write(plan, out, evaluated)
        if page is not None and text is not None:
            write_whole(page, text)
            click.echo(f"perfsim: {plan.points} points written to {page}", err=True)
        if (out is not None or page is not None) and pareto is None:
            _report_written(plan, out, page, as_json)
            return
        with _progress(plan) as advance:
            parts = parts_of(plan)
            for part, result in zip(parts, evaluated(plan, parts), strict=True):
                ranking.add(part, result)
                advance(ranking.last)
    _show(plan, ranking, pareto, as_json)


def _page(plan: Sweep, pareto: str | None, evaluated: Evaluated) -> str:
    from perfsim.export.html import interactive_html

    x, y = (_objectives(pareto) if pareto is not None else ("runtime", "memory_total"))[:2]
    return interactive_html(plan.dataset(whole_result(plan, evaluated)), x=x, y=y, title="perfsim sweep")


def _check_axes(axes: Mapping[str, Any]) -> None:
    """Refuse an axis that is no list of values here, or that an option fixes as well."""
    if "using" in axes:
        raise InputError(
            "--vary using: chains of techniques do not vary here; state --using, and vary a parameter of it with "
            "--vary using.NAME.PARAMETER=SPEC"
        )
    context = click.get_current_context()
    for name in axes:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(f"{name} is fixed by {flag} and varied by --vary {name}; state one of the two")


def _check_tasks(models: tuple[str, ...], options: Mapping[str, Any]) -> None:
    """Refuse models of different usual tasks where none is stated: a sweep has one job."""
    tasks = [(name, task_of(options, find_model(name))) for name in models]
    first, task = tasks[0]
    for name, other in tasks[1:]:
        if other != task:
            raise InputError(
                f"one sweep has one task: {first} is for {task}, {name} for {other}; sweep them apart, or state a "
                f"--task that fits all"
            )


@contextmanager
def _evaluation(scheduler: str | None) -> Iterator[Evaluated]:
    """Who evaluates the parts: this process, or a cluster."""
    if scheduler is None:
        yield evaluated_here
        return
    from perfsim.sweeps.distributed import connected, evaluated_by

    with connected(scheduler) as client:
        yield evaluated_by(client)


def _axes(varied: tuple[str, ...]) -> dict[str, Any]:
    axes: dict[str, Any] = {}
    for text in varied:
        name, equals, spec = text.partition("=")
        name = name.strip() if "." in name else name.strip().replace("-", "_")
        if not equals or not name or not spec.strip():
            raise InputError(f'--vary "{text}": expected NAME=SPEC, e.g. --vary batch=1:256:x2')
        if name in axes:
            raise InputError(f"--vary {name}: stated twice; state it once")
        axes[name] = read_values(name, spec.strip())
    return axes


def _objectives(text: str) -> tuple[str, ...]:
    names = tuple(name.strip().replace("-", "_") for name in text.split(","))
    if len(names) < 2:
        raise InputError(f'--pareto "{text}": expected two or more metrics, e.g. --pareto tpot,cost')
    for name in names:
        if name not in METRICS:
            raise UnknownNameError("metric", name, METRICS)
    return names


@contextmanager
def _progress(plan: Sweep) -> Iterator[Any]:
    """A bar with rate and time left on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("perfsim sweep"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(), console=console, disable=not sys.stderr.isatty(), transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task("sweep", total=plan.points, rate="")

        def advance(points: int) -> None:
            bar.advance(task, points)
            speed = bar.tasks[0].speed
            bar.update(task, rate="" if not speed else f"{speed:,.0f} points/s")

        yield advance


def _write(plan: Sweep, out: str, evaluated: Evaluated) -> None:
    try:
        with _progress(plan) as advance:
            known = write_sweep(plan, out, advance, evaluated=evaluated)
    except KeyboardInterrupt:
        click.echo(f"perfsim: finished parts are kept in {out}.parts; run the same command again to go on", err=True)
        raise
    if known:
        click.echo(f"perfsim: went on with {known} finished parts", err=True)


def _report_written(plan: Sweep, out: str | None, page: str | None, as_json: bool) -> None:
    if as_json:
        about = {"points": plan.points, "axes": _axes_of(plan), "refusals": sorted(plan.refusals)}
        print_json({"file": out, "page": page, **about})
    elif out is not None:
        click.echo(f"{plan.points} points written to {out}")


def _axes_of(plan: Sweep) -> dict[str, int]:
    return {axis.name: len(axis) for axis in plan.axes}


def _show(plan: Sweep, ranking: Ranking, pareto: str | None, as_json: bool) -> None:
    rows = ranking.rows()
    if as_json:
        print_json(
            {
                "points": plan.points, "fits": ranking.fitting, "refused": ranking.refused, "axes": _axes_of(plan),
                "objectives": list(ranking.objectives), "kind": "best" if pareto is None else "pareto",
                "units": {name: METRICS[name].unit for name in plan.metrics}, "rows": rows,
                "refusals": sorted(plan.refusals),
            }
        )  # fmt: skip
        return
    what = f"best {len(rows)} by {ranking.objectives[0]}" if pareto is None else f"Pareto front of {pareto}"
    title = f"{what}, {ranking.fitting} of {plan.points} points fit"
    columns = [column for axis in plan.axes if len(axis) > 1 for column in axis.columns]
    shown = [n for n in dict.fromkeys((*ranking.objectives, *SHOWN)) if any(row[n] is not None for row in rows)]
    texts = [[*(_text(row[c]) for c in columns), *(_text(row[n]) for n in shown)] for row in rows]
    heads = [
        *(".".join(c.split(".")[-2:]) for c in columns),
        *(f"{n} [{METRICS[n].unit}]" if METRICS[n].unit not in ("", "1") else n for n in shown),
    ]
    print_table(title, heads, texts, heads[len(columns) :])
    for reason in sorted(plan.refusals):
        click.echo(f"refused: {reason}", err=True)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
