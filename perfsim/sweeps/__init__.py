"""Sweeps: axes, evaluation as arrays, fronts, files."""

from perfsim.sweeps.axes import Axis, grid, latin_hypercube, points, sobol, uniform, zipped
from perfsim.sweeps.metrics import METRICS
from perfsim.sweeps.sweep import Sweep, plan_sweep, sweep

__all__ = [
    "METRICS", "Axis", "Sweep", "grid", "latin_hypercube", "plan_sweep", "points", "sobol", "sweep", "uniform",
    "zipped",
]  # fmt: skip
