"""``perfsim idealized``: the idealized-runtime table, or the two-phase model of measured points."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from perfsim.cli.output import json_option, print_json, print_table
from perfsim.errors import InputError

__all__ = ["command"]

LOGS = {"a100": "megatron_log_a100", "v100": "megatron_log_v100"}


@click.command(name="idealized")
@click.option("--on", "device", type=click.Choice(tuple(LOGS)), help="One of the two devices; both by default.")
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    help="The full table of measurements instead of the shipped rows.",
)
@click.option(
    "--fit",
    "points",
    type=click.Path(path_type=Path),
    help="Fit the two-phase model to a CSV of prompt, output, time [s].",
)
@click.option("--prompt-tokens", type=click.IntRange(1), help="With --fit: predict this prompt.")
@click.option(
    "--output-tokens", type=click.IntRange(0), default=64, show_default=True, help="With --fit: and this output."
)
@json_option
def command(
    device: str | None,
    path: Path | None,
    points: Path | None,
    prompt_tokens: int | None,
    output_tokens: int,
    as_json: bool,
) -> None:
    """Idealized runtime of ten models of the HELM study on one software (Megatron, 2022), predicted beside measured.

    Columns are alpha (512-token prompt, first token included), beta (each further token), a request of 512 + 64 tokens
    and its price.
    """
    if points is not None:
        _fit(points, prompt_tokens, output_tokens, as_json)
        return
    if prompt_tokens is not None:
        raise InputError("--prompt-tokens belongs to --fit; the table is for 512 prompt and 64 output tokens")
    _table([device] if device else list(LOGS), None if path is None else str(path), as_json)


def _table(devices: list[str], path: str | None, as_json: bool) -> None:
    from perfsim.validation.idealized import IdealizedRow, idealized_table

    rows: list[IdealizedRow] = [row for name in devices for row in idealized_table(LOGS[name], path)]
    if not rows:
        raise InputError(f"{path}: holds none of the ten models at 512 prompt tokens on {' or '.join(devices)}")
    if as_json:
        print_json([_plain(asdict(row)) for row in rows])
        return
    columns = ("model", "GPUs", "alpha ms", "beta ms", "request s", "error %", "cost cent", "energy kJ", "profile")
    for name in devices:
        chosen = [row for row in rows if name in row.device]
        cells = [
            (
                row.model,
                str(row.gpus),
                _pair(row.prompt_runtime, 1e3, 0),
                _pair(row.token_runtime, 1e3, 1),
                _pair(row.runtime, 1, 3),
                f"{100 * (row.runtime[0] / row.runtime[1] - 1):+.1f}",
                _pair(row.cost, 100, 3),
                "-" if row.energy is None else f"{row.energy / 1e3:.2f}",
                "fitted" if row.fitted else "unseen",
            )
            for row in chosen
        ]
        print_table(
            f"{name.upper()}: predicted / measured, 512 prompt and 64 output tokens", columns, cells, columns[1:8]
        )


def _pair(pair: tuple[float, float], factor: float, digits: int) -> str:
    return f"{pair[0] * factor:.{digits}f} / {pair[1] * factor:.{digits}f}"


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: {"predicted": value[0], "measured": value[1]} if isinstance(value, tuple) else value
        for key, value in row.items()
    }


def _fit(points: Path, prompt_tokens: int | None, output_tokens: int, as_json: bool) -> None:
    from perfsim.validation.helm import fit_two_phase, read_points

    model = fit_two_phase(read_points(points))
    result: dict[str, Any] = {
        "alpha": {str(p): t for p, t in model.prompts.items()}, "beta": model.token_runtime,
    }  # fmt: skip
    if prompt_tokens is not None:
        result["prompt_tokens"], result["output_tokens"] = prompt_tokens, output_tokens
        result["runtime"] = model.runtime(prompt_tokens, output_tokens)
        result["helm_runtime"] = model.helm_runtime(prompt_tokens, output_tokens)
    if as_json:
        print_json(result)
        return
    cells = [(str(p), f"{1e3 * t:.3f}") for p, t in model.prompts.items()]
    print_table(
        f"T(p, o) = alpha(p) + beta (o - 1), beta = {1e3 * model.token_runtime:.4f} ms",
        ("prompt", "alpha ms"),
        cells,
        ("prompt", "alpha ms"),
    )
    if prompt_tokens is not None:
        click.echo(
            f"({prompt_tokens}, {output_tokens}): {result['runtime']:.4f} s; "
            f"by HELM's look-up rule {result['helm_runtime']:.4f} s"
        )
