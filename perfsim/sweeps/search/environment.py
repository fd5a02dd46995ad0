"""An environment in the style of Gymnasium, so that other searches and agents can be plugged in."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from perfsim.errors import InputError
from perfsim.sweeps.constraints import read_constraints
from perfsim.sweeps.design import Design
from perfsim.sweeps.metrics import METRICS
from perfsim.sweeps.search.space import Objective, Space

__all__ = ["DesignEnvironment", "MultiDiscrete"]


@dataclass(frozen=True)
class MultiDiscrete:
    """An action is one place in each list of values; nvec: their lengths, as in Gymnasium's space of this name."""

    nvec: tuple[int, ...]

    def sample(self, generator: random.Random | None = None) -> tuple[int, ...]:
        """A random action."""
        drawn = generator or random.Random()  # noqa: S311 - no secret
        return tuple(drawn.randrange(n) for n in self.nvec)

    def contains(self, action: Sequence[int]) -> bool:
        """Whether it is an action."""
        return len(action) == len(self.nvec) and all(0 <= a < n for a, n in zip(action, self.nvec, strict=True))


class DesignEnvironment:
    """One step is one design: an action chooses a value for each name of the space, the reward is what it is worth.

    ``reset`` and ``step`` have the signatures of Gymnasium, which is not needed. An observation holds the metrics
    ``observed``, NaN where they are not known. The reward is the metric, with the sign that makes larger ones better,
    and ``penalty`` for designs that cannot be built or break a constraint. Episodes end after ``length`` steps.

    References
    ----------
    .. [1] S. Krishnan et al., "ArchGym", ISCA 2023.
    """

    def __init__(
        self, space: Space, *, metric: str, model: Any, job: Any, on: Any, so_that: str | Iterable[str] = "fits",
        observed: Sequence[str] = ("runtime", "memory_total", "throughput"), penalty: float = -1e9, length: int = 100,
        **request: Any,
    ) -> None:  # fmt: skip
        self._space, self._observed, self._penalty, self._length = space, tuple(observed), penalty, length
        self.objective = Objective(Design(model, job, on, **request), metric, read_constraints(so_that))
        self.action_space = MultiDiscrete(tuple(map(len, space.values())))
        self._steps = 0

    @property
    def observation_names(self) -> tuple[str, ...]:
        """What the numbers of an observation are."""
        return self._observed

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[tuple[float, ...], dict[str, Any]]:
        """Start over: an observation of nothing, and no information."""
        self._steps = 0
        return (float("nan"),) * len(self._observed), {}

    def step(self, action: Sequence[int]) -> tuple[tuple[float, ...], float, bool, bool, dict[str, Any]]:
        """Observation, reward, terminated (never), truncated (after ``length`` steps), and the design.

        Raises
        ------
        InputError
            for an action outside the action space.
        """
        if not self.action_space.contains(action):
            raise InputError(f"action {tuple(action)}: expected one place per name, below {self.action_space.nvec}")
        self._steps += 1
        choice = {name: values[place] for (name, values), place in zip(self._space.items(), action, strict=True)}
        value, p = self.objective.value(choice), self.objective.prediction(choice)
        seen = [None if p is None else METRICS[name].of(p) for name in self._observed]
        observation = tuple(float("nan") if number is None else float(number) for number in seen)
        reward = self._penalty if value is None else -self.objective.sign * value
        info = {"design": choice, "feasible": value is not None}
        return observation, reward, False, self._steps >= self._length, info

    def close(self) -> None:
        """Nothing is open."""
