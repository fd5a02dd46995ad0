"""Discrete spaces of designs, what is asked of a design, and the search that a strategy makes of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Protocol

from perfsim.catalog.systems import expanded
from perfsim.errors import InputError, PerfsimError, UnknownNameError
from perfsim.prediction.prediction import Prediction
from perfsim.sweeps.constraints import Constraint, read_constraints, value_of
from perfsim.sweeps.design import Design
from perfsim.sweeps.metrics import METRICS
from perfsim.techniques.parallel import Parallel
from perfsim.techniques.registry import resolve_techniques

__all__ = ["Choice", "Found", "Objective", "Space", "Strategy", "layouts", "search", "stacks"]

Space = Mapping[str, Sequence[Any]]
"""Quantity, ``stack``, ``on``, ``count`` or ``using`` → the values it can take."""

Choice = dict[str, Any]
"""One value for each."""


@dataclass(eq=False)
class Objective:
    """What a design is worth: a metric, which no design that breaks a constraint has.

    evaluated, refused: how many designs were predicted, and how many of them cannot be built.
    """

    design: Design
    metric: str
    constraints: tuple[Constraint, ...]
    evaluated: int = 0
    refused: int = 0
    _known: dict[str, tuple[float | None, Prediction | None]] = field(default_factory=dict)

    @property
    def sign(self) -> int:
        """1 if the metric should be small, else -1."""
        return -1 if METRICS[self.metric].larger_is_better else 1

    def value(self, choice: Choice) -> float | None:
        """The metric; None where the design cannot be built, or breaks a constraint. Each is predicted once."""
        return self._seen(choice)[0]

    def prediction(self, choice: Choice) -> Prediction | None:
        """The prediction; None where the design cannot be built."""
        return self._seen(choice)[1]

    def _seen(self, choice: Choice) -> tuple[float | None, Prediction | None]:
        key = repr(sorted((name, str(value)) for name, value in choice.items()))
        if key not in self._known:
            self._known[key] = self._predicted(choice)
        return self._known[key]

    def _predicted(self, choice: Choice) -> tuple[float | None, Prediction | None]:
        self.evaluated += 1
        try:
            p = self.design.at(choice)
            holds = all(c.holds(p) for c in self.constraints)
            return (float(value_of(p, self.metric)) if holds else None), p
        except PerfsimError:
            self.refused += 1
            return None, None


@dataclass(frozen=True)
class Found:
    """The best designs, the best first.

    best: (metric, choice); size: designs of the space; evaluated, refused, pruned: how many were predicted, could not
    be built, and were left out because nothing like them can be built or fit; complete: whether no other design can be
    better.
    """

    metric: str
    best: tuple[tuple[float, Choice], ...]
    size: int
    evaluated: int
    refused: int
    pruned: int
    complete: bool


class Strategy(Protocol):
    """A way to go through a space."""

    def run(self, space: Space, objective: Objective, keep: int) -> Found:
        """Look for the ``keep`` best designs."""


def search(
    space: Space, *, metric: str, strategy: Strategy, so_that: str | Iterable[str] = "fits", keep: int = 5,
    model: Any, job: Any, on: Any, **request: Any,
) -> Found:  # fmt: skip
    """The best designs of a discrete space.

    space: e.g. ``{"count": [1, 2, 4], "using": stacks(...), "batch": [8, 16]}``, or of :func:`layouts`; metric: a name
    of :data:`perfsim.sweeps.METRICS`, made small or large as is good for it; so_that: constraints as in
    :func:`perfsim.solve`; strategy: :class:`Exhaustive`, :class:`OptunaSearch`, or anything with the same ``run``;
    model, job, on ...: what stays as it is, as in :func:`perfsim.predict`.

    Raises
    ------
    PerfsimError
        for unknown names, or an empty space.
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    for name, values in space.items():
        if isinstance(values, str) or not len(values):
            raise InputError(f"space: {name} has no values; expected a list of them")
    design = Design(model, job, on, **request)
    for name in space:
        if name not in ("using", "on", "stack", "count", "model"):
            design.value(name)
    return strategy.run(space, Objective(design, metric, read_constraints(so_that)), keep)


def layouts(count: int, experts: bool = False) -> Space:
    """All ways to spread a model over ``count`` devices: tensor × pipeline × data, and experts whole or cut.

    Raises
    ------
    InputError
        for a count below 1.
    """
    if count < 1:
        raise InputError(f"count={count}: expected at least 1 device")
    degrees = [d for d in range(1, count + 1) if count % d == 0]
    found = [
        (Parallel(tensor=t, pipeline=p, data=count // (t * p), expert=e),)
        for t in degrees for p in degrees if count % (t * p) == 0
        for e in ({1, t} if experts else {1})
    ]  # fmt: skip
    return {"count": [count], "using": found}


def stacks(*alternatives: Sequence[str]) -> list[tuple[Any, ...]]:
    """All chains of techniques with at most one of each group of alternatives, in the order of the groups.

    alternatives: e.g. ``["weight-quantization:bits=4", "weight-quantization:bits=8"], ["kv-cache-quantization"]``.

    Raises
    ------
    PerfsimError
        for an unknown technique.
    """
    groups = [[(), *(resolve_techniques(expanded([text])) for text in group)] for group in alternatives]
    return [tuple(technique for part in chain for technique in part) for chain in product(*groups)]
