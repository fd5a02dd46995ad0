"""Every design of a space, with branches left out that cannot hold one."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import product
from math import prod

from perfsim.errors import InputError
from perfsim.sweeps.search.space import Choice, Found, Objective, Space

__all__ = ["Exhaustive"]


@dataclass(frozen=True)
class Exhaustive:
    """Predicts every design; most: designs beyond which it refuses.

    grows: quantities of which more never makes a broken constraint hold again, e.g. ``("batch",)`` for ``fits`` and
    latencies. Beyond the first value that breaks one, all else equal, larger ones are left out.

    Raises
    ------
    InputError
        for a space that is too large.
    """

    grows: tuple[str, ...] = ()
    most: int = 200_000

    def run(self, space: Space, objective: Objective, keep: int) -> Found:
        """The ``keep`` best designs."""
        size = prod(map(len, space.values()))
        if size > self.most:
            raise InputError(f"space: {size} designs, at most {self.most} are tried; use OptunaSearch or fewer values")
        ordered = {n: sorted(v) if n in self.grows else list(v) for n, v in space.items()}
        names = sorted(ordered, key=lambda n: n in self.grows)
        broken: list[Choice] = []
        best: list[tuple[float, int, Choice]] = []
        pruned = 0
        for number, values in enumerate(product(*(ordered[n] for n in names))):
            choice = dict(zip(names, values, strict=True))
            if any(self._beyond(choice, other) for other in broken):
                pruned += 1
                continue
            value = objective.value(choice)
            if value is None:
                if self.grows:
                    broken.append(choice)
            else:
                heapq.heappush(best, (-objective.sign * value, -number, choice))
                best = heapq.nlargest(keep, best, key=lambda entry: entry[:2])
        ranked = sorted(best, key=lambda entry: entry[:2], reverse=True)
        found = tuple((-objective.sign * value, choice) for value, _, choice in ranked)
        return Found(objective.metric, found, size, objective.evaluated, objective.refused, pruned, complete=True)

    def _beyond(self, choice: Choice, other: Choice) -> bool:
        """Whether ``choice`` is ``other`` with more of what grows."""
        return all(
            choice[n] >= other[n] if n in self.grows else choice[n] is other[n] or choice[n] == other[n] for n in choice
        )
