"""A comparison as text."""

from __future__ import annotations

from string import ascii_uppercase
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from perfsim.prediction.tables import render, text_table
from perfsim.quantities.numbers import Number
from perfsim.quantities.units import format_quantity

if TYPE_CHECKING:
    from perfsim.prediction.compare import Comparison, ComparisonRow, Limit

__all__ = ["comparison_table"]

_TITLES = {"ttft": "time to first token", "tpot": "time per output token", "ideal_runtime": "ideal runtime"}
LONGEST_HEAD = 24
"""Characters of a label that still heads a column."""


def comparison_table(c: Comparison) -> str:
    """What is compared, the quantities with their ratio to the first column, and what limits each phase."""
    base = c.predictions[0]
    heads, names = _heads(c.labels)
    title = Text(f"{c.labels[0]} is {base.setup}: {base.job.task} ({base.job.text})", style="bold")
    parts: list[RenderableType] = [title, *names, _quantities(c, heads), _limits(c, heads)]
    parts += [
        Text(f"note: {label}: {remark}", style="bold")
        for label, p in zip(c.labels, c.predictions, strict=True)
        for remark in p.remarks
    ]
    return render(*parts)


def _heads(labels: tuple[str, ...]) -> tuple[tuple[str, ...], list[Text]]:
    """Heads of the columns, and lines that name them where the labels are too long for that."""
    if max(map(len, labels)) <= LONGEST_HEAD:
        return labels, []
    heads = tuple(ascii_uppercase[i] if i < len(ascii_uppercase) else f"column {i + 1}" for i in range(len(labels)))
    return heads, [Text(f"  {head}  {label}") for head, label in zip(heads, labels, strict=True)]


def _quantities(c: Comparison, heads: tuple[str, ...]) -> Table:
    rows = []
    for row in c.rows:
        pairs = zip(row.values, row.ratios, strict=True)
        delivers = c.predictions[0].job.delivers
        cells = [_cell(v, r if i else None, row, delivers) for i, (v, r) in enumerate(pairs)]
        rows.append((_TITLES.get(row.name, row.name), *cells))
    return text_table("× over the first column", ("", *heads), rows, heads)


def _cell(value: Number, ratio: Number, row: ComparisonRow, delivers: str) -> str:
    if value is None:
        return "-"
    text = f"{value:.4g} {delivers}/s" if row.name == "throughput" else format_quantity(value, row.dimension)
    text += " CO2e" if row.name == "carbon" else ""
    return text if ratio is None else f"{text}  ×{ratio:.3g}"


def _limits(c: Comparison, heads: tuple[str, ...]) -> Table:
    rows = [(phase, *(_limit(limit) for limit in limits)) for phase, limits in c.limits.items()]
    return text_table("what limits each phase, and its share of the time", ("", *heads), rows)


def _limit(limit: Limit | None) -> str:
    if limit is None:
        return "-"
    others = [f"{bound} {100 * s:.0f} %" for bound, s in limit.shares.items() if bound != limit.bound and s >= 0.005]
    text = f"{limit.bound} ({limit.resource}) {100 * limit.share:.0f} %"
    return ", ".join((text, *others))
