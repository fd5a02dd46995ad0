"""A prediction as text tables."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from perfsim.quantities.dimensions import Dimension
from perfsim.quantities.numbers import Number
from perfsim.quantities.units import DIMENSIONS, format_quantity

if TYPE_CHECKING:
    from perfsim.prediction.prediction import Prediction

__all__ = ["prediction_table", "render", "text_table"]

KERNELS = 10
"""Kernels that are listed; the rest is one line."""

WIDTH = 120
"""Columns where there is no terminal."""

FLOP, MONEY, MASS = Dimension.of(FLOP=1), Dimension.of(USD=1), Dimension.of(kg=1)
TIME, BYTES = DIMENSIONS["time"], DIMENSIONS["capacity"]


def render(*parts: RenderableType) -> str:
    """Text of the parts, as wide as the terminal; colours only on a terminal, and not under ``NO_COLOR``."""
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((WIDTH, 24)).columns if terminal or "COLUMNS" in os.environ else WIDTH
    file = io.StringIO()
    console = Console(
        file=file, width=max(width, 40), force_terminal=terminal, highlight=False, emoji=False, markup=False
    )
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def text_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> Table:
    """A table of plain texts; the first column is never broken, those named in ``right`` are set flush right."""
    table = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(columns):
        side: Literal["right", "left"] = "right" if name in right else "left"
        table.add_column(Text(name), justify=side, overflow="fold", no_wrap=index == 0)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _shown(value: Number, dimension: Dimension, suffix: str = "") -> str:
    """A value with unit and prefix, a dash where it is unknown."""
    return "-" if value is None else format_quantity(value, dimension) + suffix


def _percent(value: Number) -> str:
    """A share as per cent, a dash where it is unknown."""
    return "-" if value is None else f"{100 * value:.1f} %"


def _header(p: Prediction) -> str:
    """What was asked, on one line."""
    return f"{p.setup}: {p.job.task} ({p.job.text})" + "".join(f", {technique}" for technique in p.using)


def prediction_table(p: Prediction) -> str:
    """Header, metrics, memory, phases, the kernels that take longest, and what to know before using the numbers."""
    parts: list[RenderableType] = [
        Text(_header(p), style="bold"),
        _metrics(p),
        _memory(p),
        _phases(p),
        _kernels(p),
        *_notes(p),
    ]
    return render(*parts)


def _metrics(p: Prediction) -> Table:
    low, high = p.interval
    throughput = "-" if p.throughput is None else f"{p.throughput:.4g} {p.job.delivers}/s"
    interval = f"{_shown(low, TIME)} to {_shown(high, TIME)}: {p.relative_interval.why}"
    rows = [
        ("runtime", _shown(p.runtime, TIME), ""),
        ("interval", interval, ""),
        ("ideal bound", _shown(p.ideal_runtime, TIME), "the same job under the stack ideal"),
        ("time to first token", _shown(p.ttft, TIME), ""),
        ("time per output token", _shown(p.tpot, TIME), ""),
        ("throughput", throughput, ""),
        ("energy", _shown(p.energy, DIMENSIONS["energy"]), "all devices"),
        ("power", _shown(p.power, DIMENSIONS["power"]), "all devices, mean"),
        ("throttling", _shown(p.throttling, TIME) if p.throttling > 0 else "-", "part of the runtime: lower clocks"),
        ("cost", _shown(p.cost, MONEY), f"all devices, {_offer(p)}"),
        ("carbon", _shown(p.carbon, MASS, " CO2e"), f"operational, {_grid(p)}"),
        ("work", _shown(p.flops, FLOP), f"MFU {_percent(p.mfu)}"),
        ("traffic", _shown(p.traffic, BYTES), f"MBU {_percent(p.mbu)}"),
    ]
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name, value, remark in rows:
        if value != "-":
            table.add_row(Text(name), Text(f"{value}  ({remark})" if remark else value))
    return table


def _offer(p: Prediction) -> str:
    money = p.economics
    dated = f" of {money.date}" if money.date else ""
    return f"{_shown(money.price, DIMENSIONS['price'])} each: {money.offer}{dated}"


def _grid(p: Prediction) -> str:
    money = p.economics
    return f"PUE {money.pue:g}, grid {money.region}: {_shown(money.intensity, DIMENSIONS['carbon_intensity'])}"


def _memory(p: Prediction) -> Table:
    memory = p.memory
    parts = ("weights", "kv_cache", "activations", "gradients", "optimizer_states", "workspace")
    used = [(name, getattr(memory, name)) for name in parts if getattr(memory, name)]
    (_, _, there), *apart = memory.stores

    def share(value: float, there: float | None) -> str:
        return "-" if there is None else _percent(value / there)

    places = {"weights": apart[0][2]} if apart else {"total": there}
    sums = used if apart else [*used, ("total", memory.total)]
    rows = [(name, _shown(value, BYTES), share(value, places.get(name, there))) for name, value in sums]
    verdict = {True: "fits", False: "does not fit", None: "not known"}[memory.fits]
    rows += [(f"capacity of {name}", _shown(size, BYTES), "") for name, _, size in apart]
    rows.append(("capacity", _shown(there, BYTES), verdict))
    return text_table("memory per device", ("part", "bytes", "of capacity"), rows, ("bytes", "of capacity"))


def _phases(p: Prediction) -> Table:
    rows = [
        (row.name, f"{row.repeat}", _shown(row.runtime, TIME), _percent(row.runtime / p.runtime if p.runtime else None),
         _shown(row.energy, DIMENSIONS["energy"]), _shown(row.flops, FLOP), _shown(row.traffic, BYTES), row.bound)
        for row in p.phases
    ]  # fmt: skip
    columns = ("phase", "steps", "runtime", "share", "energy", "work", "traffic", "bound")
    return text_table("phases", columns, rows, columns[1:-1])


def _kernels(p: Prediction) -> Table:
    order = sorted(p.operators, key=lambda row: -row.runtime)
    rows = [
        (row.name, row.phase, f"{row.count}", _shown(row.runtime, TIME),
         _percent(row.runtime / p.runtime if p.runtime else None), row.bound,
         "-" if row.operational_intensity is None else f"{row.operational_intensity:.3g}",
         _percent(row.computational_efficiency))
        for row in order[:KERNELS]
    ]  # fmt: skip
    rest = order[KERNELS:]
    if rest:
        runtime = sum(row.runtime for row in rest)
        share = _percent(runtime / p.runtime if p.runtime else None)
        rows.append((f"{len(rest)} more", "", "", _shown(runtime, TIME), share, "", "", ""))
    columns = ("kernel", "phase", "executions", "runtime", "share", "bound", "FLOP/byte", "of peak")
    return text_table("kernels by time", columns, rows, ("executions", "runtime", "share", "FLOP/byte", "of peak"))


def _notes(p: Prediction) -> list[Text]:
    coverage = p.coverage
    shares = ", ".join(f"{_percent(getattr(coverage, name))} of {name}" for name in ("operators", "flops", "traffic"))
    lines = [f"modelled: {shares}; outside: {', '.join(coverage.missing) or 'nothing'}"]
    lines += [f"convention: {text}" for text in p.conventions]
    return [*(Text(f"note: {text}", style="bold") for text in p.remarks), *(Text(line, style="dim") for line in lines)]
