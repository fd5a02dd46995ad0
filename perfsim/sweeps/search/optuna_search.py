"""Large spaces by optuna's samplers."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from math import prod
from typing import Any

from perfsim.errors import InputError
from perfsim.sweeps.search.space import Choice, Found, Objective, Space

__all__ = ["OptunaSearch"]


@dataclass(frozen=True)
class OptunaSearch:
    """Tries ``trials`` designs, each proposed in the light of the earlier ones (tree-structured Parzen estimator [1]_).

    seed: equal seeds give equal searches. Nothing says that the best design was found.

    References
    ----------
    .. [1] T. Akiba et al., "Optuna", KDD 2019.
    """

    trials: int = 200
    seed: int = 0

    def run(self, space: Space, objective: Objective, keep: int) -> Found:
        """The ``keep`` best designs that were tried."""
        if importlib.util.find_spec("optuna") is None:
            raise InputError("OptunaSearch needs optuna; install it with: pip install optuna, or perfsim[all]")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=self.seed))
        tried: dict[tuple[int, ...], tuple[float, Choice]] = {}

        def worth(trial: Any) -> float:
            places = {n: trial.suggest_int(n, 0, len(values) - 1) for n, values in space.items()}
            choice = {n: space[n][place] for n, place in places.items()}
            value = objective.value(choice)
            if value is None:
                raise optuna.TrialPruned
            tried[tuple(places.values())] = (value, choice)
            return objective.sign * value

        study.optimize(worth, n_trials=self.trials)
        best = sorted(tried.values(), key=lambda entry: objective.sign * entry[0])[:keep]
        size = prod(map(len, space.values()))
        return Found(
            objective.metric, tuple(best), size, objective.evaluated, objective.refused, 0,
            complete=objective.evaluated >= size,
        )  # fmt: skip
