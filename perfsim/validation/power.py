"""Fitting the three shares of the power limit that boards without energies of their own take: busy, memory and serving.

From the command line: ``python -m perfsim.validation.power``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from perfsim.catalog.files import data_root
from perfsim.costs import power_model
from perfsim.costs.board import BUSY_SHARE, IDLE_SHARE, MATRIX_POWER_SHARE, MEMORY_SHARE, SERVING_SHARE
from perfsim.costs.energy import PowerModel
from perfsim.errors import InputError
from perfsim.prediction.prediction import Prediction
from perfsim.validation.program import exit_code
from perfsim.validation.report import Pair, Report, report_of
from perfsim.validation.rows import Row, predict_row, read_rows

__all__ = ["PRESENT", "Shares", "fit_shares", "main", "power_report"]


@dataclass(frozen=True)
class Shares:
    """Power over the limit [1]: busy; further at full memory bandwidth; further in serving time."""

    busy: float
    memory: float
    serving: float


PRESENT = Shares(BUSY_SHARE, MEMORY_SHARE, SERVING_SHARE)
"""The shares that the catalogue is read with."""


def _phases(p: Prediction, shares: Shares) -> float:
    """Mean power of one device with other shares [W]; each phase within the limit."""
    device = p.system.device
    model = power_model(device)
    limit = device.get("power.maximum")
    if not isinstance(model, PowerModel) or limit is None:
        raise InputError(f"device {device.key}: no source gives its power limit; the shares are shares of it")
    main = f"memory.{device.main_memory}"
    matrix = (MATRIX_POWER_SHARE - shares.busy) / (MATRIX_POWER_SHARE - PRESENT.busy)
    scale = {name: matrix for name in model.energies if name.startswith(("tensor.", "vector."))}
    scale[main] = shares.memory / PRESENT.memory
    energies = {name: value * scale.get(name, 1.0) for name, value in model.energies.items()}
    busy = shares.busy * limit
    changed = PowerModel(model.idle, busy, limit, shares.serving * limit, limit - busy, energies, energies)
    return float(sum(changed.energy(phase, device) for phase in p.costs) / p.runtime)


def _pairs(rows: Sequence[tuple[Row, Prediction]], shares: Shares) -> list[Pair]:
    return [
        Pair(row.device, row.model, f"batch {row.job.batch}", _phases(p, shares) * p.devices, row.value, row.fitted)
        for row, p in rows
    ]  # fmt: skip


def _rows() -> list[tuple[Row, Prediction]]:
    rows = read_rows(data_root() / "measurements" / "vllm-power.csv")
    return [(row, predict_row(row)) for row in rows]


def fit_shares(rows: Sequence[tuple[Row, Prediction]], start: Shares = PRESENT) -> Shares:
    """Shares that predict the power of ``rows`` best: least squares of the relative error, soft L1, to two digits.

    A device that runs a job draws at least what it draws idle.

    Raises
    ------
    InputError
        if scipy is not installed, or there are fewer rows than shares.
    """
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise InputError("a refit needs scipy, which is not installed; install it with: pip install scipy") from None
    if len(rows) < 3:
        raise InputError(f"{len(rows)} rows cannot fix 3 shares; expected at least 3")
    best = least_squares(
        lambda x: [pair.error for pair in _pairs(rows, Shares(*x))],
        [max(start.busy, IDLE_SHARE + 0.01), start.memory, start.serving],
        bounds=([IDLE_SHARE, 0.0, 0.0], [0.9, 1.0, 1.0]), loss="soft_l1", f_scale=0.05, diff_step=1e-4,
    )  # fmt: skip
    return Shares(*(round(float(value), 2) for value in best.x))


def power_report(rows: Sequence[tuple[Row, Prediction]], shares: Shares) -> Report:
    """Power of ``rows`` as predicted with ``shares``, against what was measured [W]."""
    return report_of("power", _pairs(rows, shares))


def main() -> int:
    """Refit and print the shares, with the errors of the rows that were fitted and of those left out; the exit code."""
    return exit_code(_print_refit)


def _print_refit() -> None:
    rows = _rows()
    fitted = [pair for pair in rows if pair[0].fitted]
    shares = fit_shares(fitted)
    for name in ("busy", "memory", "serving"):
        sys.stdout.write(f"{name:<8} {getattr(PRESENT, name):.2f} -> {getattr(shares, name):.2f}\n")
    for label, chosen in (("fitted", fitted), ("left out", [pair for pair in rows if not pair[0].fitted])):
        for device, model in dict.fromkeys((row.device, row.model) for row, _ in chosen):
            some = [pair for pair in chosen if (pair[0].device, pair[0].model) == (device, model)]
            old, new = (power_report(some, s).statistics() for s in (PRESENT, shares))
            sys.stdout.write(
                f"{label:<8} {device} {model}: {new['rows']:.0f} rows, MAPE {old['mape']:.1f} -> {new['mape']:.1f} "
                f"%, bias {old['bias']:+.1f} -> {new['bias']:+.1f} %\n"
            )


if __name__ == "__main__":
    sys.exit(main())
