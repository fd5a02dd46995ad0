"""``perfsim techniques``: what can be applied to a plan with ``--using``."""

from __future__ import annotations

from inspect import getdoc
from typing import Any

import click

from perfsim.cli.output import json_option, print_json, print_table
from perfsim.techniques.base import Technique
from perfsim.techniques.registry import technique_classes

__all__ = ["command", "technique_row"]


@click.command(name="techniques")
@json_option
def command(as_json: bool) -> None:
    """List the techniques for --using NAME:key=value,..."""
    rows = [technique_row(kind) for kind in technique_classes().values()]
    if as_json:
        print_json(rows)
        return
    cells = [(row["name"], row["summary"], row["reference"]) for row in rows]
    print_table(f"{len(rows)} techniques", ("name", "what it does", "reference"), cells)
    click.echo("Parameters of one, with units, ranges and defaults: perfsim show technique NAME")


def technique_row(kind: type[Technique]) -> dict[str, Any]:
    """A technique as plain data."""
    return {
        "name": kind.name,
        "summary": (getdoc(kind) or "").split("\n\n")[0].replace("\n", " "),
        "reference": kind.reference,
        "parameters": kind.describe(),
    }
