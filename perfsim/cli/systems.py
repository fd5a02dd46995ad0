"""``perfsim systems``: published systems, i.e. which techniques with which parameters somebody combined."""

from __future__ import annotations

from typing import Any

import click

from perfsim.catalog.systems import PublishedSystem, published_system, system_names
from perfsim.cli.output import json_option, print_json, print_table

__all__ = ["command", "system_row"]


@click.command(name="systems")
@json_option
def command(as_json: bool) -> None:
    """List the published systems; use one with --using system:NAME."""
    rows = [system_row(published_system(name)) for name in system_names()]
    if as_json:
        print_json(rows)
        return
    cells = [(r["name"], r["status"], r["scope"], str(r["claims"]), " ".join(r["using"]), r["title"]) for r in rows]
    columns = ("name", "status", "scope", "claims", "techniques", "title")
    print_table(f"{len(rows)} systems", columns, cells, ("claims",))


def system_row(system: PublishedSystem) -> dict[str, Any]:
    """A published system as plain data, without its claims."""
    return {
        "name": system.key,
        "title": system.title,
        "scope": system.scope,
        "workload": system.workload,
        "status": _status(system),
        "mechanism": system.mechanism,
        "using": list(system.using),
        "changes": {"metric": system.metric, "direction": "lower" if system.lower else "higher"},
        "claims": len(system.claims),
        "reference": system.reference,
    }


def _status(system: PublishedSystem) -> str:
    if system.waiting:
        return f"waiting for {system.workload}"
    return "runs" if system.using else "described"
