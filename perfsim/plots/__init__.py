"""Figures: one kind per file. A figure draws what a result holds and computes nothing of its own.

Every figure is ``figure(result, *, ax=None) -> Axes``; matplotlib is imported only when one is drawn.
"""

from perfsim.plots.breakdown import breakdown, breakdown_by_bound, breakdown_by_phase
from perfsim.plots.crossover import crossover
from perfsim.plots.efficiency_gap import efficiency_gap
from perfsim.plots.heat_map import heat_map
from perfsim.plots.memory_timeline import memory_timeline
from perfsim.plots.parallel_coordinates import parallel_coordinates
from perfsim.plots.pareto import pareto
from perfsim.plots.parity import parity
from perfsim.plots.roofline import roofline
from perfsim.plots.sweep_front import sweep_front
from perfsim.plots.tornado import tornado
from perfsim.plots.waterline import waterline
from perfsim.plots.waterline_time import waterline_time
from perfsim.prediction.gap import Rated

__all__ = [
    "Rated",
    "breakdown",
    "breakdown_by_bound",
    "breakdown_by_phase",
    "crossover",
    "efficiency_gap",
    "heat_map",
    "memory_timeline",
    "parallel_coordinates",
    "pareto",
    "parity",
    "roofline",
    "sweep_front",
    "tornado",
    "waterline",
    "waterline_time",
]
