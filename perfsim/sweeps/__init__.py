"""Sweeps: axes, evaluation as arrays, fronts, files. Modules that need numpy are loaded when they are used."""

from perfsim.sweeps.axes import Axis, grid, latin_hypercube, points, sobol, uniform, zipped
from perfsim.sweeps.crossover import crossover
from perfsim.sweeps.metrics import METRICS
from perfsim.sweeps.pareto import front, pareto
from perfsim.sweeps.sensitivity import elasticities, tornado
from perfsim.sweeps.solve import iso, solve
from perfsim.sweeps.stream import parts_of, write_sweep
from perfsim.sweeps.sweep import Sweep, plan_sweep, sweep

__all__ = [
    "METRICS", "Axis", "Sweep", "crossover", "elasticities", "front", "grid", "iso", "latin_hypercube", "pareto",
    "parts_of", "plan_sweep", "points", "sobol", "solve", "sweep", "tornado", "uniform", "write_sweep", "zipped",
]  # fmt: skip
