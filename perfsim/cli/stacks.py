"""``perfsim stacks``: the software stacks of the catalogue."""

from __future__ import annotations

from typing import Any

import click

from perfsim.catalog import stack, stack_names
from perfsim.catalog.hardware import CLASSES
from perfsim.cli.output import json_option, print_json, print_table
from perfsim.devices import Stack

__all__ = ["command"]


@click.command(name="stacks")
@json_option
def command(as_json: bool) -> None:
    """List the software stacks, and the devices that each was calibrated on."""
    stacks = [stack(name) for name in stack_names()]
    if as_json:
        print_json([_row(item) for item in stacks])
        return
    cells = [(item.key, item.name, item.attention, ", ".join(_calibrated(item)) or "-") for item in stacks]
    print_table(f"{len(stacks)} stacks", ("name", "title", "attention", "calibrated on"), cells)


def _calibrated(item: Stack) -> list[str]:
    return [pattern for patterns, _, calibration in item.variants if calibration is not None for pattern in patterns]


def _row(item: Stack) -> dict[str, Any]:
    return {
        "name": item.key,
        "title": item.name,
        "framework": item.info.get("framework"),
        "attention": item.attention,
        "fuse": list(item.fuse),
        "ideal": item.on_chip,
        "runs_on": list(item.runs_on or CLASSES),
        "vendors": list(item.vendors),
        "engines": list(item.engines),
        "measured": list(item.measured),
        "calibrated_on": _calibrated(item),
        "sources": dict(item.sources),
        "notes": list(item.notes),
    }
