"""``perfsim ledger``: what each optimization buys, alone, in order, and last."""

from __future__ import annotations

from typing import Any

import click

from perfsim.cli.options import job_options, read_request
from perfsim.cli.output import json_option, print_json
from perfsim.errors import InputError
from perfsim.prediction.ledger import ledger

__all__ = ["command"]


@click.command(name="ledger")
@click.argument("model")
@click.option("--on", "on", required=True, metavar="DEVICE", help="Device: a name of the catalogue or a file.")
@job_options
@json_option
def command(model: str, on: str, as_json: bool, **options: Any) -> None:
    """Book what each --using buys for one job with MODEL: time, energy, bytes, memory and money."""
    if not options["using"]:
        raise InputError("nothing to book: give at least one --using NAME:key=value,...")
    request = read_request(model, on, options)
    result = ledger(request.model, request.job, request.system, using=request.using, stack=request.stack)
    if as_json:
        print_json(result.to_dict())
    else:
        click.echo(result.table(), nl=False)
