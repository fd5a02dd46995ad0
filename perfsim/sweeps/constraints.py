"""Constraints on a prediction, such as ``tpot <= 20 ms``, and what stands in the way where one does not hold."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from perfsim.errors import InputError, UnitError, UnknownNameError, checked_type
from perfsim.prediction.memory_remarks import shortages
from perfsim.prediction.prediction import Prediction
from perfsim.prediction.rows import BOUNDS, job_bound
from perfsim.quantities.units import DIMENSIONS, format_quantity, parse, parse_as
from perfsim.sweeps.metrics import METRICS

__all__ = ["Constraint", "metric_text", "obstacle", "read_constraints", "value_of"]

_RELATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "==": operator.eq,
}  # fmt: skip
_FORM = re.compile(r"\s*([a-z_][\w-]*)\s*(<=|>=|==|<|>)\s*(.+?)\s*$")
_STAGES: Mapping[str, str] = {"ttft": "prefill", "tpot": "decode"}
_PARTS = ("weights", "kv_cache", "activations", "gradients", "optimizer_states", "workspace")
_EXPECTED = 'expected e.g. "tpot <= 20 ms", "cost <= 0.01 USD", "bound == memory" or "fits"'


@dataclass(frozen=True)
class Constraint:
    """metric: of :data:`perfsim.sweeps.METRICS`; limit: in SI units, an index for ``bound``; text: as written."""

    metric: str
    relation: str
    limit: float
    text: str

    def holds(self, p: Prediction) -> bool:
        """Whether it holds for a prediction.

        Raises
        ------
        InputError
            if the metric is not known for this job and device.
        """
        return bool(_RELATIONS[self.relation](value_of(p, self.metric), self.limit))

    def shortfall(self, p: Prediction) -> float:
        """How far a prediction is from it: 0 where it holds, else the relative distance."""
        if self.holds(p):
            return 0.0
        return abs(float(value_of(p, self.metric)) - self.limit) / max(abs(self.limit), 1e-300)

    def slack(self, p: Prediction) -> float:
        """How much room is left where it holds, relative to the limit [1]; 0 for what has no degrees."""
        if self.metric == "fits":
            known = [1 - float(used / there) for _, used, there in p.memory.stores if there]
            return min(known) if known and p.memory.planned is None else 0.0
        above = 1 if self.relation in (">=", ">") else -1 if self.relation in ("<=", "<") else 0
        return above * (float(value_of(p, self.metric)) - self.limit) / max(abs(self.limit), 1e-300)


def value_of(p: Prediction, metric: str) -> Any:
    """Value of a metric.

    Raises
    ------
    InputError
        if it is not known for this job and device.
    """
    value = METRICS[metric].of(p)
    if value is None:
        where = f"{type(p.job).__name__} on {p.system.device.key}"
        raise InputError(f"{metric} is not known for {where}; ask another metric")
    return value


def read_constraints(so_that: str | Iterable[str]) -> tuple[Constraint, ...]:
    """Constraints from a text or several; ``and`` joins two in one text.

    Raises
    ------
    InputError, UnknownNameError, UnitError
        for another form, an unknown metric, or a wrong unit.
    """
    checked_type("so_that", so_that, Iterable, 'a text such as "tpot <= 20 ms and fits", or a list of them')
    texts = [so_that] if isinstance(so_that, str) else list(so_that)
    for text in texts:
        checked_type("so_that", text, str, 'a text such as "tpot <= 20 ms and fits"')
    found = tuple(_constraint(part) for text in texts for part in re.split(r"\band\b|,", text))
    if not found:
        raise InputError(f"so_that: there is no constraint, {_EXPECTED}")
    return found


def _constraint(text: str) -> Constraint:
    if text.strip() == "fits":
        return Constraint("fits", "==", 1.0, "fits")
    match = _FORM.match(text)
    if match is None:
        raise InputError(f'so_that "{text.strip()}": {_EXPECTED}')
    name, relation, limit = match[1].replace("-", "_"), match[2], match[3]
    if name not in METRICS:
        raise UnknownNameError("metric", name, METRICS)
    metric = METRICS[name]
    if metric.choices:
        if limit not in metric.choices or relation != "==":
            raise InputError(f'so_that "{text.strip()}": expected {name} == {" or ".join(metric.choices)}')
        return Constraint(name, relation, metric.choices.index(limit), text.strip())
    if relation == "==":
        raise InputError(f'so_that "{text.strip()}": a number is met by <= or >=, not by ==')
    try:
        number = parse_as(limit, parse(f"1 {metric.unit}").dimension)
    except UnitError as error:
        raise UnitError(f'so_that "{text.strip()}": {error}') from None
    return Constraint(name, relation, number, text.strip())


def metric_text(p: Prediction, name: str) -> str:
    """A metric as a text with its unit."""
    value, metric = value_of(p, name), METRICS[name]
    if metric.choices:
        return metric.choices[int(value)]
    if not metric.unit:
        return "yes" if value else "no"
    return format_quantity(float(value), parse(f"1 {metric.unit}").dimension)


def obstacle(constraint: Constraint, p: Prediction) -> str:
    """Which resource keeps a prediction from meeting a constraint."""
    reached = f"{constraint.metric} is {metric_text(p, constraint.metric)}"
    if constraint.metric == "fits" or constraint.metric.startswith("memory_"):
        memory = p.memory
        if memory.capacity is None:
            return f"capacity: no source gives the memory of {p.system.device.key}"
        short = shortages(memory)
        parts = {name: getattr(memory, name) for name in _PARTS}
        most = max(parts, key=lambda name: parts[name])
        amounts = "; ".join(short) if short else reached
        return f"capacity: {amounts}; {most} takes {format_quantity(parts[most], DIMENSIONS['capacity'])}"
    stage = _STAGES.get(constraint.metric)
    costs = [cost for cost in p.costs if stage is None or cost.phase.stage == stage]
    return f"{BOUNDS[job_bound(costs)]}: {reached}, and that is what most of the time goes to"
