"""A ledger as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from perfsim.prediction.tables import render, text_table
from perfsim.quantities.numbers import Number
from perfsim.quantities.units import format_quantity

if TYPE_CHECKING:
    from perfsim.prediction.ledger import Ledger
    from perfsim.prediction.prediction import Prediction

__all__ = ["ledger_table"]

_SHOWN = ("runtime", "energy", "memory")


def ledger_table(entries: Ledger) -> str:
    """The account: values after every step, factors alone, in order and last, interaction, and other orders."""
    base = entries.base
    title = f"{base.setup}: {base.job.text}"
    names = [Text(f"  {number}  {entry.technique}") for number, entry in enumerate(entries.entries, 1)]
    parts: list[RenderableType] = [Text(title, style="bold"), *names, _account(entries), _factors(entries)]
    together = entries.interaction["runtime"]
    if together is not None and len(entries.entries) > 1:
        parts.append(Text(f"interaction: together {together:.3f} times the product of the runtime factors alone"))
    refused = [f"{entry.technique} alone: {entry.refusal}" for entry in entries.entries if entry.refusal]
    parts += [Text(f"note: {line}", style="bold") for line in (*refused, *_orders(entries))]
    return render(*parts)


def _account(entries: Ledger) -> RenderableType:
    from perfsim.prediction.ledger import BOOKED, bottleneck, value_of

    def cells(label: str, p: Prediction | None) -> tuple[str, ...]:
        if p is None:
            return (label, *("-" for _ in BOOKED), "")
        values = ((value_of(p, metric), dimension) for metric, dimension in BOOKED.items())
        texts = ("-" if value is None else format_quantity(value, dimension) for value, dimension in values)
        return (label, *texts, bottleneck(p) or "")

    rows = [cells("base", entries.base)]
    rows += [cells(f"+ {number}", entry.after) for number, entry in enumerate(entries.entries, 1)]
    columns = ("after", *BOOKED, "new bottleneck")
    return text_table("in the order given", columns, rows, tuple(BOOKED))


def _factors(entries: Ledger) -> RenderableType:
    previous: Prediction | None = entries.base
    rows = []
    for number, entry in enumerate(entries.entries, 1):
        pairs = ((entry.alone, entries.base), (entry.after, previous), (entries.total, entry.without))
        cells = [_times(entries.factor(new, old, metric)) for metric in _SHOWN for new, old in pairs]
        rows.append((str(number), *cells))
        previous = entry.after
    whole = [_times(entries.factor(entries.total, entries.base, m)) for m in _SHOWN]
    rows.append(("all", whole[0], "", "", whole[1], "", "", whole[2], "", ""))
    columns = [f"{metric} {how}" for metric in _SHOWN for how in ("alone", "in order", "last")]
    return text_table("times less", ("", *columns), rows, columns)


def _times(factor: Number) -> str:
    return "-" if factor is None else f"{factor:.3g}×"


def _orders(entries: Ledger) -> list[str]:
    if not entries.order_matters:
        return []
    lines = []
    for order in entries.orders:
        what = f"refused: {order.refusal}" if order.runtime is None else f"{order.runtime:.4g} s"
        lines.append(f"order {' → '.join(order.techniques)}: {what}")
    return lines
