"""Fitting a few parameters of a stack to measurements by least squares.

From the command line: ``python -m perfsim.validation.refit gemm --device a100-sxm4-80gb --dtype bf16``.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn

from perfsim.devices import PARAMETERS, Stack
from perfsim.errors import InputError
from perfsim.quantities.dimensions import Dimension
from perfsim.quantities.units import format_quantity
from perfsim.validation.program import exit_code
from perfsim.validation.report import Pair, Report, report_of

__all__ = ["DIGITS", "Pairs", "Problem", "Refit", "main", "refit"]

Pairs = Callable[[Stack], Sequence[tuple[float, float]]]
"""For a stack, the predicted and the measured value of each row."""

DIGITS = 3
"""Significant digits of a fitted value; its residuals are those of the rounded value, so a TOML reproduces them."""

SOFT = 0.05
"""Scale of the soft-L1 loss [1]: residuals of ln(predicted/measured) far above it count about linearly, not squared."""

_SMALLEST = 1e-3
"""Start of a parameter that is 0, as a share of a typical value: a logarithm has none of 0."""

_TYPICAL: Mapping[str, float] = MappingProxyType({"time": 1e-5, "ratio": 0.5})


@dataclass(frozen=True)
class Problem:
    """What a refit works on.

    stack: start values; parameters: names to fit, also ``dtype.fp8_e4m3.kernel_launch``; fit: the rows to fit
    on; held_out: rows left out, for the error that counts; rows: what they are, in words.
    """

    stack: Stack
    parameters: tuple[str, ...]
    fit: Pairs
    held_out: Pairs
    rows: str


@dataclass(frozen=True)
class Refit:
    """A fit: values before and after [SI], and the statistics of the rows before and after (see ``Report``)."""

    parameters: tuple[str, ...]
    dimensions: tuple[Dimension, ...]
    old: tuple[float, ...]
    values: tuple[float, ...]
    before: Report
    after: Report
    stack: Stack

    def to_toml(self, source: str = "refit") -> str:
        """Lines to paste into a stack's TOML, with the residual as a comment.

        source: key of a source that the file has to list; its title names the rows.
        """
        numbers = self.after.statistics()
        low, high = self.after.ratio_quantiles()
        lines = [
            f"# fitted to {numbers['rows']:.0f} rows: MAPE {numbers['mape']:.1f} %, bias {numbers['bias']:+.1f} %, "
            f"measured/predicted {low:.3g} to {high:.3g} (5th to 95th percentile)"
        ]
        for name, dimension, value in zip(self.parameters, self.dimensions, self.values, strict=True):
            text = format_quantity(value, dimension, DIGITS)
            shown = text if PARAMETERS[name.rsplit(".", 1)[-1]][0] == "ratio" else f'"{text}"'
            lines.append(f'{name} = {{ value = {shown}, source = "{source}", status = "fitted" }}')
        return "\n".join(lines)


def refit(start: Stack, parameters: Sequence[str], pairs: Pairs) -> Refit:
    """Values of ``parameters`` that predict the rows best: least squares of ln(predicted/measured), soft L1.

    Logarithms of the parameters are varied, so times stay above 0; efficiencies and shares stay at most 1.

    Raises
    ------
    InputError
        if scipy is not installed, no parameter is given, or there are fewer rows than parameters.
    UnknownNameError
        if the stack does not state a parameter.
    """
    if not parameters:
        raise InputError("no parameter to fit; expected names such as kernel_launch, compute_efficiency")
    dimensions = tuple(start.datum(name).dimension for name in parameters)
    old = tuple(float(start.datum(name).value) for name in parameters)
    before = pairs(start)
    if len(before) < len(parameters):
        raise InputError(f"{len(before)} rows cannot fix {len(parameters)} parameters; expected at least as many rows")
    ceilings = [0.0 if _kind(name) == "ratio" and not _is_size(name) else math.inf for name in parameters]
    first = [math.log(v or _SMALLEST * _TYPICAL[_kind(n)]) for n, v in zip(parameters, old, strict=True)]

    def residuals(logs: Any) -> list[float]:
        candidate = start.replace(**{n: math.exp(v) for n, v in zip(parameters, logs, strict=True)})
        return [math.log(predicted / measured) for predicted, measured in pairs(candidate)]

    best = _least_squares(residuals, first, ceilings)
    values = tuple(_rounded(math.exp(v)) for v in best)
    fitted = start.replace(**dict(zip(parameters, values, strict=True)))
    return Refit(
        tuple(parameters), dimensions, old, values, _report(start, before), _report(fitted, pairs(fitted)), fitted
    )  # fmt: skip


def _kind(name: str) -> str:
    return PARAMETERS[name.rsplit(".", 1)[-1]][0]


def _is_size(name: str) -> bool:
    return name.rsplit(".", 1)[-1].startswith(("tile_", "launch_"))


def _least_squares(residuals: Callable[[Any], list[float]], first: list[float], ceilings: list[float]) -> list[float]:
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise InputError("a refit needs scipy, which is not installed; install it with: pip install scipy") from None
    inside = [min(value, ceiling - 1e-6) for value, ceiling in zip(first, ceilings, strict=True)]
    bounds = ([-math.inf] * len(first), ceilings)
    result = least_squares(residuals, inside, bounds=bounds, loss="soft_l1", f_scale=SOFT, diff_step=1e-4, max_nfev=200)
    return [float(value) for value in result.x]


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _report(chosen: Stack, pairs: Sequence[tuple[float, float]]) -> Report:
    return report_of("refit", (Pair("", chosen.key, "", predicted, measured) for predicted, measured in pairs))


class _Parser(argparse.ArgumentParser):
    """Refuses on one line, with exit code 2, like every command of perfsim."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"perfsim: {' '.join(message.split())}. See {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Refit one calibration and print old and new values, the errors, and lines for the TOML; the exit code."""
    from perfsim.validation.problems import REFITS

    parser = _Parser(prog="python -m perfsim.validation.refit", description="Fit a stack to measurements.")
    parser.add_argument("suite", choices=sorted(REFITS), help="what to fit to")
    parser.add_argument("--device", required=True, help="catalogue name, e.g. a100-sxm4-80gb")
    parser.add_argument("--dtype", default="bf16", help="number format (default: bf16)")
    given = parser.parse_args(arguments)
    return exit_code(lambda: _print_refit(REFITS[given.suite](given.device, given.dtype)))


def _print_refit(problem: Problem) -> None:
    result = refit(problem.stack, problem.parameters, problem.fit)
    sys.stdout.write("\n".join(_lines(problem, result)) + "\n")


def _lines(problem: Problem, result: Refit) -> list[str]:
    """What :func:`main` prints."""
    held_out = [_report(s, problem.held_out(s)) for s in (problem.stack, result.stack)]
    lines = [f"{problem.rows}, stack {problem.stack.key}"]
    width = max(len(name) for name in result.parameters)
    for name, dimension, old, new in zip(result.parameters, result.dimensions, result.old, result.values, strict=True):
        shown = [format_quantity(value, dimension, DIGITS) for value in (old, new)]
        lines.append(f"  {name:<{width}}  {shown[0]} -> {shown[1]}")
    for label, reports in (("fitted", (result.before, result.after)), ("left out", held_out)):
        first, then = (report.statistics() for report in reports)
        lines.append(
            f"  {label}: {then['rows']:.0f} rows, MAPE {first['mape']:.2f} -> {then['mape']:.2f} %, "
            f"bias {first['bias']:+.2f} -> {then['bias']:+.2f} %"
        )
    low, high = held_out[1].ratio_quantiles()
    lines.append(f"  left out: measured/predicted {low:.3g} to {high:.3g} (5th to 95th percentile)")
    return [*lines, "", result.to_toml()]


if __name__ == "__main__":
    sys.exit(main())
