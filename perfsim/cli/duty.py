"""``perfsim duty``: one frame after the other at a required rate: power, battery life, racing or a slow point."""

from __future__ import annotations

from typing import Any

import click

from perfsim.cli.options import job_options, read_request
from perfsim.cli.output import json_option, print_json, print_table, quantity
from perfsim.prediction.duty import REST, DutyCycle, duty_cycle, least_power_first

__all__ = ["command"]

POINT = "device.operating_point"
"""What-if that chooses one operating point; without it all points are compared."""


@click.command(name="duty")
@click.argument("model")
@click.option("--on", "on", required=True, metavar="DEVICE", help="Device: a name of the catalogue or a file.")
@click.option("--frame-rate", type=float, required=True, metavar="N", help="Frames per second that are required.")
@click.option("--battery", metavar="ENERGY", help='Charge, e.g. "0.9 Wh".')
@click.option("--sensor", default="0 W", metavar="POWER", help='Its mean power, e.g. "4.5 mW". Default: none.')
@click.option("--radio", default="0 W", metavar="POWER", help="Mean power of the radio. Default: none.")
@click.option("--rest", default=REST[0], show_default=True, help=f"Between frames: {' or '.join(REST)}.")
@job_options
@json_option
def command(
    model: str, on: str, frame_rate: float, battery: str | None, sensor: str, radio: str, rest: str, as_json: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Run MODEL once per frame and rest in between, at every operating point of the device.

    A fast point races and rests, a slow one is steady; least mean power comes first, points that are too slow last.
    One operating point, or another clock or voltage, is a what-if: --set device.clock.cluster="50 MHz".
    """
    cycles = least_power_first(
        duty_cycle(
            read_request(model, on, {**options, "changes": changes}).predict(), frame_rate=frame_rate, battery=battery,
            sensor=sensor, radio=radio, rest=rest,
        )
        for changes in _points(model, on, options)
    )  # fmt: skip
    if as_json:
        print_json({"model": model, "device": on, "rest": rest, "cycles": [cycle.to_dict() for cycle in cycles]})
    else:
        columns = ("point", "keeps up", "at work", "energy per frame", "mean power", "battery life")
        print_table(f"{model} on {on}, {frame_rate:g} frame/s", columns, [_row(cycle) for cycle in cycles], columns[2:])


def _points(model: str, on: str, options: dict[str, Any]) -> list[tuple[str, ...]]:
    """What-ifs of every operating point; the stated ones alone where one is chosen or the device has none."""
    stated = tuple(options["changes"])
    points = read_request(model, on, options).system.device.points
    if not points or any(change.partition("=")[0].strip() == POINT for change in stated):
        return [stated]
    return [(f"{POINT}={point}", *stated) for point in points]


def _row(cycle: DutyCycle) -> tuple[str, ...]:
    life = "-" if cycle.battery_life is None else f"{cycle.battery_life / 3600:.1f} h"
    energy, power = quantity(cycle.energy, "energy"), quantity(cycle.power, "power")
    return cycle.point or "-", "yes" if cycle.keeps_up else "no", f"{cycle.share:.1%}", energy, power, life
