"""``perfsim plot``: one subcommand per figure of :mod:`perfsim.cli.figures`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource

from perfsim.catalog import device as find_device
from perfsim.catalog import model as find_model
from perfsim.catalog import stack as find_stack
from perfsim.catalog.accuracy import accuracies
from perfsim.cli.figures import FIGURES, FORMATS, Figure, drawn, format_of, plotted
from perfsim.cli.options import changes_of, job_options, read_request
from perfsim.cli.output import json_option, print_json
from perfsim.devices import System
from perfsim.errors import InputError, UnknownNameError
from perfsim.export.files import write_whole
from perfsim.prediction.gap import rated_if_known
from perfsim.prediction.predict import apply_what_ifs

__all__ = ["command"]


class _Figures(click.Group):
    """Makes the subcommand of a figure when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(FIGURES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _figure_command(cmd_name) if cmd_name in FIGURES else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in FIGURES and not args[0].startswith("-"):
            raise UnknownNameError("figure", args[0], FIGURES, "List them with: perfsim plot --help")
        return super().resolve_command(ctx, args)


@click.group(name="plot", cls=_Figures, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Draw a figure into a file, or print its data with --json."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _figure_command(name: str) -> click.Command:
    """The command of one figure, with the options of ``perfsim predict``."""
    figure = FIGURES[name]

    @click.command(name=name, help=f"Draw {name}: {figure.help}.")
    @click.argument("models", nargs=-1, required=not figure.bare, metavar="MODEL...")
    @click.option("--on", "devices", required=True, multiple=True, metavar="DEVICE", help="Device; repeatable.")
    @click.option("-o", "--output", metavar="FILE", help=f"File to write: {', '.join(FORMATS)}.")
    @click.option("--dark", is_flag=True, help="Light lines on dark paper.")
    @click.option("--size", type=click.Choice(figure.sizes), help="Width: a column or a page of a paper, a notebook.")
    @_own_options(figure)
    @job_options
    @json_option
    @click.pass_context
    def draw(
        ctx: click.Context, /, models: tuple[str, ...], devices: tuple[str, ...], output: str | None, dark: bool,
        size: str | None, as_json: bool, view: str | None = None, accuracy: tuple[str, ...] = (), **options: Any,
    ) -> None:  # fmt: skip
        """Draw to a file, print the data, or both."""
        if output is None and not as_json:
            raise InputError(f"nothing to do: give -o FILE.{{{','.join(FORMATS)}}} or --json")
        kind = None if output is None else format_of(output)
        results: list[Any]
        if not models:
            _only_devices(ctx)
            results = [_device(device, options) for device in devices]
        elif figure.rated:
            declared = _declared(accuracy, models)
            results = [_rated(model, device, options, declared) for model in models for device in devices]
        else:
            results = [read_request(model, device, options).predict() for model in models for device in devices]
        data = plotted(figure, results) if as_json else None
        if output is not None and kind is not None:
            write_whole(output, drawn(figure, results, kind=kind, dark=dark, size=size, view=view))
            click.echo(f"perfsim: figure written to {output}", err=True)
        if data is not None:
            print_json(data)

    return draw


def _own_options(figure: Figure) -> Callable[[Any], Any]:
    """Options of some figures only."""
    if figure.views:
        text = f"One view only: {', '.join(figure.views)}. Default: all."
        return click.option("--view", type=click.Choice(figure.views), help=text)
    if figure.rated:
        text = "Top-1 accuracy of a model, 0 to 1, repeatable. Default: measurements/accuracy.csv."
        return click.option("--accuracy", multiple=True, metavar="MODEL=SHARE", help=text)
    return lambda command: command


def _declared(texts: Sequence[str], models: Sequence[str]) -> dict[str, float]:
    """Accuracy by model, from the values of ``--accuracy``."""
    declared: dict[str, float] = {}
    for text in texts:
        model, _, value = text.partition("=")
        try:
            declared[model.strip()] = float(value)
        except ValueError:
            raise InputError(f'--accuracy "{text}": expected MODEL=SHARE, e.g. --accuracy {models[0]}=0.79') from None
        if model.strip() not in models:
            raise UnknownNameError("model of --accuracy", model.strip(), models)
    return declared


def _rated(model: str, device: str, options: Mapping[str, Any], declared: Mapping[str, float]) -> Any:
    """A prediction, with its accuracy if known, at the image size of the table's accuracy unless one is stated."""
    sizes = [row.image_size for row in accuracies() if row.model == model]
    network = find_model(model)
    usual = network.shape().get("image_size")
    if options["image_size"] is None and model not in declared and sizes and usual not in sizes:
        click.echo(f"perfsim: {model} at {sizes[0]} pixels, where its accuracy was measured", err=True)
        options = {**options, "image_size": sizes[0]}
    share = {network.name: declared[model]} if model in declared else None
    return rated_if_known(read_request(model, device, options).predict(), share)


def _only_devices(ctx: click.Context) -> None:
    """Refuse options of a job where there is no model."""
    fine = ("devices", "output", "dark", "size", "as_json", "models", "changes")
    for parameter in ctx.command.params:
        name = str(parameter.name)
        if name not in fine and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise InputError(f"{parameter.opts[0]}: belongs to a job; name a MODEL, or leave it out")


def _device(name: str, options: Mapping[str, Any]) -> Any:
    changes = changes_of(options["changes"])
    return apply_what_ifs(System(find_device(name)), find_stack("ideal"), changes)[0].device
