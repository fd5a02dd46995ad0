"""``perfsim solve``: which value of a quantity a prediction needs to meet constraints."""

from __future__ import annotations

from typing import Any

import click

from perfsim.cli.options import job_options, read_request
from perfsim.cli.output import json_option, print_json
from perfsim.errors import InputError
from perfsim.sweeps.solve import solve

__all__ = ["command"]

NO_ANSWER = 1
"""Exit code where no value meets the constraints; a wrong question leaves with 2."""


@click.command(name="solve")
@click.argument("model")
@click.option("--on", "on", required=True, metavar="DEVICE", help="Device: a name of the catalogue or a file.")
@click.option(
    "--find", required=True, metavar="PATH",
    help="What is looked for: a field of the job, count, a what-if path, or using.TECHNIQUE.PARAMETER.",
)  # fmt: skip
@click.option(
    "--so-that", "so_that", required=True, multiple=True, metavar="CONSTRAINT",
    help='Repeatable: "tpot <= 20 ms", "cost <= 0.01 USD", "bound == memory", fits.',
)  # fmt: skip
@click.option("--between", metavar="LOW:HIGH", help='Range, e.g. "1 TB/s:8 TB/s". Default: around the present value.')
@click.option("--largest", "want", flag_value="largest", help="The largest value. Default: what the constraints bound.")
@click.option("--smallest", "want", flag_value="smallest", help="The smallest value.")
@job_options
@json_option
def command(
    model: str, on: str, find: str, so_that: tuple[str, ...], between: str | None, want: str | None, as_json: bool,
    **options: Any,
) -> int:  # fmt: skip
    """Find the smallest or largest value of a quantity with which MODEL meets all constraints.

    Exit code 1 where there is none; the answer then says what stands in the way.
    """
    request = read_request(model, on, options)
    answer = solve(
        find if "." in find else find.replace("-", "_"), so_that=so_that, model=request.model, job=request.job,
        on=request.system, stack=request.stack, using=request.using, want=want, between=_ends(between), **request.money,
    )  # fmt: skip
    if as_json:
        print_json(answer.to_dict())
    else:
        click.echo(str(answer))
    return 0 if answer.value is not None else NO_ANSWER


def _ends(between: str | None) -> tuple[str, str] | None:
    if between is None:
        return None
    low, colon, high = between.partition(":")
    if not colon or not low.strip() or not high.strip() or ":" in high:
        raise InputError(f'--between "{between}": expected LOW:HIGH, e.g. "1 TB/s:8 TB/s"')
    return low.strip(), high.strip()
