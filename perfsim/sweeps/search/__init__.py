"""Search over discrete spaces: exhaustive with pruning, budgets by dynamic programming, optuna, environments."""

from perfsim.sweeps.search.budget import Option, allocate, bits_per_layer
from perfsim.sweeps.search.environment import DesignEnvironment
from perfsim.sweeps.search.exhaustive import Exhaustive
from perfsim.sweeps.search.optuna_search import OptunaSearch
from perfsim.sweeps.search.space import Found, Objective, Strategy, layouts, search, stacks

__all__ = [
    "DesignEnvironment", "Exhaustive", "Found", "Objective", "Option", "OptunaSearch", "Strategy", "allocate",
    "bits_per_layer", "layouts", "search", "stacks",
]  # fmt: skip
