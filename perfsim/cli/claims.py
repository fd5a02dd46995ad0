"""``perfsim claims``: what was published against what is predicted, claim by claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click

from perfsim.cli.output import json_option, print_json, print_table
from perfsim.prediction.claims import STATUSES, Verdict, check_claims

__all__ = ["command"]


@click.command(name="claims")
@click.argument("systems", nargs=-1, metavar="[SYSTEM]...")
@click.option("--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="Only claims of this status.")
@json_option
def command(systems: tuple[str, ...], statuses: tuple[str, ...], as_json: bool) -> None:
    """Compare the published claims of SYSTEM, or of all systems, with predictions."""
    verdicts = [v for v in check_claims(systems) if not statuses or v.status in statuses]
    if as_json:
        print_json([verdict.to_dict() for verdict in verdicts])
        return
    columns = ("system", "claim", "published", "predicted", "band", "status", "why")
    print_table(f"{len(verdicts)} claims", columns, [_cells(v) for v in verdicts], ("published", "predicted"))
    click.echo(_summary(verdicts))


def _cells(verdict: Verdict) -> tuple[str, ...]:
    band = "-" if verdict.low is None else f"{verdict.low:.4g} to {verdict.high:.4g}"
    numbers = ("-" if value is None else f"{value:.4g}" for value in (verdict.published, verdict.predicted))
    return (verdict.system, verdict.claim, *numbers, band, verdict.status, verdict.why)


def _summary(verdicts: Sequence[Verdict]) -> str:
    counts = Counter(verdict.status for verdict in verdicts)
    checked = counts["holds"] + counts["misses"]
    text = ", ".join(f"{counts[status]} {status}" for status in STATUSES)
    return f"{text}; {counts['holds']} of {checked} derivable claims hold" if checked else text
