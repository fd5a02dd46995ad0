"""The command line ``perfsim``: a group that loads a command's file only when that command is used."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import click

from perfsim import __version__
from perfsim.errors import InputError, PerfsimError, UnknownNameError

__all__ = ["COMMANDS", "LazyGroup", "cli", "main", "one_line"]

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "predict": "time, energy, memory and money of one job",
        "compare": "predictions side by side: models, devices, what-ifs",
        "sweep": "many predictions at once: grids of numbers, models, devices",
        "solve": "inverse questions: the bandwidth, batch or device count that meets a limit",
        "duty": "a frame rate on a small device: power, battery life, racing or steady",
        "plot": "figures of a prediction or of devices",
        "idealized": "the idealized-runtime table of ten models, predicted beside measured",
        "validate": "predicted against measured",
        "claims": "published claims against predictions",
        "ledger": "what each optimization buys, alone and in order",
        "calibrate": "fit a stack to measurements, or measure this machine",
        "models": "list the models of the catalogue",
        "devices": "list the devices of the catalogue",
        "stacks": "list the software stacks of the catalogue",
        "techniques": "list the techniques that can be applied",
        "systems": "list the published systems",
        "show": "one entry of the catalogue, each number with its source",
    }
)
"""Command → one line of help. The command ``a-b`` is the object ``command`` in ``perfsim/cli/a_b.py``."""

INTERRUPTED, CLOSED_PIPE, USAGE, INTERNAL = 130, 141, 2, 70
"""Exit codes: what a shell reports for SIGINT and SIGPIPE; a wrong use; a bug of perfsim (EX_SOFTWARE)."""

LONGEST = 2000
"""Characters of an error line; an argument that is echoed can be any length."""


class _InterruptedError(Exception):
    """Ctrl-C while a command ran."""


class _ClosedPipeError(Exception):
    """Whoever read our output went away."""


class LazyGroup(click.Group):
    """The commands of :data:`COMMANDS`, and the only place where errors become exit codes.

    A refusal is one line on stderr and exit code 2; nothing ever prints a traceback, unless ``PERFSIM_DEBUG``
    is set and the error is a bug.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"perfsim.cli.{cmd_name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UnknownNameError("command", args[0], COMMANDS, "List them with: perfsim --help")
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            _refuse_repeated(command, ctx, rest)
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _InterruptedError from None
        except BrokenPipeError:
            raise _ClosedPipeError from None

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line and leave with its exit code; with ``standalone_mode=False`` errors propagate."""
        if not kwargs.get("standalone_mode", True):
            return super().main(*args, **kwargs)
        sys.exit(self._guarded(*args, **kwargs))

    def _guarded(self, *args: Any, **kwargs: Any) -> int:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                result = super().main(*args, **{**kwargs, "standalone_mode": False})
                sys.stdout.flush()
            return result if isinstance(result, int) else 0
        except PerfsimError as error:
            return _complain(str(error), error.exit_code)
        except click.ClickException as error:
            return _complain(_usage(error), USAGE)
        except (_InterruptedError, KeyboardInterrupt, click.Abort):
            return _complain("interrupted", INTERRUPTED)
        except (_ClosedPipeError, BrokenPipeError):
            _drop_output()
            return CLOSED_PIPE
        except OSError as error:
            _drop_output()
            return _complain(f"{error.filename or 'output'}: {error.strerror or error}", USAGE)
        except Exception as error:  # noqa: BLE001 - the last resort of a program
            return _internal(error)


def _refuse_repeated(command: click.Command, ctx: click.Context, args: list[str]) -> None:
    """Refuse an option that is given twice where only one of its values could count."""
    try:
        with click.Context(command, parent=ctx) as inner:
            *_, order = command.make_parser(inner).parse_args(list(args))
    except click.UsageError:
        return  # told when the command itself reads its arguments
    for parameter, times in Counter(order).items():
        if times > 1 and isinstance(parameter, click.Option) and not (parameter.multiple or parameter.is_flag):
            raise InputError(f"{parameter.opts[0]}: stated {times} times; state it once")


def _internal(error: Exception) -> int:
    if os.environ.get("PERFSIM_DEBUG", "") not in ("", "0"):
        raise error
    text = f"internal error: {type(error).__name__}: {error}; please report it (PERFSIM_DEBUG=1 shows where)"
    return _complain(text, INTERNAL)


def _usage(error: click.ClickException) -> str:
    """Message of a click error, with the closest options and where to read on."""
    context = getattr(error, "ctx", None)
    where = f"See {context.command_path} --help" if context is not None else "See perfsim --help"
    if isinstance(error, click.NoSuchOption) and context is not None:
        known = [
            name for option in context.command.get_params(context) for name in option.opts if name.startswith("--")
        ]
        return str(UnknownNameError("option", error.option_name, known, where))
    return f"{error.format_message().rstrip('.')}. {where}"


def _complain(message: str, code: int) -> int:
    print(f"perfsim: {one_line(message)}", file=sys.stderr)
    return code


def one_line(message: str) -> str:
    """``message`` on one line of printable characters, at most :data:`LONGEST` of them."""
    text = " ".join(message.split())
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _drop_output() -> None:
    """Send what is still buffered nowhere, so that the interpreter does not fail on it at its end."""
    try:
        target = sys.stdout.fileno()
    except (OSError, ValueError):  # a stream without a file, as in tests
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, target)
    os.close(nowhere)


@click.group(
    name="perfsim",
    cls=LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]},
    epilog="A MODEL or DEVICE is a name of the catalogue or the path of a file.",
)  # fmt: skip
@click.version_option(__version__, prog_name="perfsim", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Predict latency, energy and memory of neural networks without running real weights."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> None:
    """Entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show a character gets a replacement
            stream.reconfigure(errors="replace")
    cli(prog_name="perfsim")


if __name__ == "__main__":
    main()
