"""Predictions side by side: models, devices and what-ifs, each beside the first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from perfsim.architectures import Model
from perfsim.catalog import model as find_model
from perfsim.catalog import stack as find_stack
from perfsim.catalog.systems import expanded
from perfsim.costs import PhaseCost
from perfsim.devices import Device, Stack, System
from perfsim.errors import InputError, checked_type
from perfsim.prediction.model_scaling import scaled_model
from perfsim.prediction.predict import apply_what_ifs, predict
from perfsim.prediction.prediction import Prediction
from perfsim.prediction.target import target_of
from perfsim.prediction.variant import read_variant
from perfsim.quantities.dimensions import Dimension
from perfsim.quantities.numbers import Number
from perfsim.quantities.units import DIMENSIONS
from perfsim.techniques.base import Technique
from perfsim.techniques.registry import resolve_techniques
from perfsim.workloads import Job

__all__ = ["Comparison", "ComparisonRow", "Limit", "column_labels", "compare"]

BASE = "base"
"""Label of a base that needs no name."""

_ROWS: tuple[tuple[str, Dimension], ...] = (
    ("runtime", DIMENSIONS["time"]),
    ("ttft", DIMENSIONS["time"]),
    ("tpot", DIMENSIONS["time"]),
    ("throughput", Dimension.of(s=-1)),
    ("energy", DIMENSIONS["energy"]),
    ("cost", Dimension.of(USD=1)),
    ("carbon", Dimension.of(kg=1)),
    ("memory", DIMENSIONS["capacity"]),
    ("ideal_runtime", DIMENSIONS["time"]),
)

_ASKED = ("model", "device", "count", "stack", "task", "workload", "using", "what_if", "economics", "remarks")


@dataclass(frozen=True, eq=False)
class ComparisonRow:
    """One quantity of all columns. values: SI, None where unknown; ratios: over the first column's value [1]."""

    name: str
    dimension: Dimension
    values: tuple[Number, ...]

    @property
    def ratios(self) -> tuple[Number, ...]:
        """Value over that of the first column; None where either is unknown or the first is zero."""
        base = self.values[0]
        return tuple(None if v is None or not base else v / base for v in self.values)


@dataclass(frozen=True)
class Limit:
    """What holds a phase up. bound: the activity that most time goes into; resource: the part of the device behind
    it, e.g. ``hbm``; shares: time of the kernels bound by each activity over the phase's [1].
    """

    bound: str
    resource: str
    shares: Mapping[str, float]

    @property
    def share(self) -> float:
        """Share of the phase's time that is bound by ``bound`` [1]."""
        return self.shares[self.bound]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Predictions with a label each; the first one is the base."""

    labels: tuple[str, ...]
    predictions: tuple[Prediction, ...]

    @cached_property
    def rows(self) -> tuple[ComparisonRow, ...]:
        """Runtime, latencies, throughput, energy, money, carbon, memory of the fullest device, ideal runtime."""
        found = (ComparisonRow(name, d, tuple(_value(p, name) for p in self.predictions)) for name, d in _ROWS)
        return tuple(row for row in found if any(value is not None for value in row.values))

    def row(self, name: str) -> ComparisonRow:
        """Row by name.

        Raises
        ------
        InputError
            if no column has that quantity.
        """
        found = next((row for row in self.rows if row.name == name), None)
        if found is None:
            raise InputError(f'no row "{name}"; this comparison has {", ".join(row.name for row in self.rows)}')
        return found

    @cached_property
    def limits(self) -> Mapping[str, tuple[Limit | None, ...]]:
        """Phase → what limits it in each column; None where a column has no such phase."""
        names = dict.fromkeys(row.name for p in self.predictions for row in p.phases)
        return {name: tuple(_limit(p, name) for p in self.predictions) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """As plain data, SI units."""
        columns = []
        for label, p in zip(self.labels, self.predictions, strict=True):
            whole = p.to_dict()
            columns.append({"label": label} | {key: whole[key] for key in _ASKED} | {"fits": whole["memory"]["fits"]})
        rows = [
            {"name": r.name, "unit": str(r.dimension)[1:-1], "values": list(r.values), "ratios": list(r.ratios)}
            for r in self.rows
        ]
        phases = [
            {"name": name, "limits": [None if n is None else {**vars(n), "share": n.share} for n in limits]}
            for name, limits in self.limits.items()
        ]
        return {"columns": columns, "rows": rows, "phases": phases}

    def table(self) -> str:
        """As text."""
        from perfsim.prediction.compare_table import comparison_table

        return comparison_table(self)


def _value(p: Prediction, name: str) -> Number:
    if name == "memory":
        return p.memory.total
    return getattr(p, name)


def _limit(p: Prediction, phase: str) -> Limit | None:
    rows = [row for row in p.operators if row.phase == phase]
    total = sum(row.runtime for row in rows)
    if not rows or not total:
        return None
    shares: dict[str, float] = {}
    for row in rows:
        shares[row.bound] = shares.get(row.bound, 0.0) + float(row.runtime / total)
    bound = next(row.bound for row in p.phases if row.name == phase)
    at = max((i for i, row in enumerate(rows) if row.bound == bound), key=lambda i: rows[i].runtime)
    return Limit(bound, _resource(p, p.phase(phase), bound, at), dict(sorted(shares.items(), key=lambda s: -s[1])))


def _resource(p: Prediction, phase: PhaseCost, bound: str, at: int) -> str:
    """Part of the device that holds up the kernel ``at`` of a phase, the longest one with that bound."""
    if at >= len(phase.kernels):
        return "host"
    cost, device = phase.kernels[at][0], p.system.device
    if bound == "compute":
        return f"{'matrix' if cost.matrix else 'vector'} {cost.dtype.name}"
    if bound == "memory":
        cache = device.cache
        main = phase.over_job(cost.traffic) / device.bandwidth
        slower = cache is not None and phase.over_job(cost.moved) / cache.bandwidth > main
        return cache.name if cache is not None and slower else device.main_memory
    return "kernel launch" if bound == "overhead" else p.system.scale_up().name


def compare(
    model: str | Model | Sequence[str | Model],
    job: Job,
    on: str | Device | System | Sequence[str | Device | System],
    *,
    variants: Iterable[str | Mapping[str, Any]] = (),
    count: int | None = None,
    stack: str | Stack = "ideal",
    using: Iterable[str | Technique] = (),
    what_if: Mapping[str, Any] | None = None,
    region: str | None = None,
    pue: float | str | None = None,
    offer: str | None = None,
) -> Comparison:
    """Compare predictions: every model on every device, then each variant of the first of them.

    model, on: one or several; variants: what changes against the first column, as a text such as
    ``"stack=vllm,device.memory.main.bandwidth=x2"`` or as a mapping: what-if paths, fields of the job, ``model``,
    ``on``, ``count``, ``stack``, ``using`` (behind the techniques of the base), ``region``, ``pue``, ``offer``;
    everything else as in :func:`perfsim.predict`.

    Raises
    ------
    PerfsimError
        as :func:`perfsim.predict`, and for a variant that cannot be read.
    """
    chain = resolve_techniques(expanded(using))
    checked_type("variants", variants, Iterable, 'a list, e.g. variants=["stack=vllm"]')
    shared = {"job": job, "count": count, "stack": stack, "using": chain, "region": region, "pue": pue, "offer": offer}
    pairs = list(product(_several(model, "model"), _several(on, "on")))
    asked = [{**shared, "model": m, "on": d} for m, d in pairs]
    changes: list[Mapping[str, Any]] = [{} for _ in asked]
    read = [read_variant(given, type(job)) for given in variants]
    for variant in read:
        replaced: dict[str, Any] = {"job": job.replace(**variant.job), "using": (*chain, *variant.using)}
        if "count" in variant.settings and isinstance(asked[0]["on"], System):
            replaced["on"] = asked[0]["on"].device
        asked.append({**asked[0], **replaced, **variant.settings})
        changes.append(variant.what_if)
    names = [(find_model(m).name, _device_key(d)) for m, d in pairs]
    columns = tuple(_predicted(a, what_if or {}, more) for a, more in zip(asked, changes, strict=True))
    return Comparison(column_labels(names, [variant.label for variant in read]), columns)


def _several(given: Any, what: str) -> list[Any]:
    items = list(given) if isinstance(given, list | tuple) else [given]
    if not items:
        raise InputError(f"{what} is an empty list, expected at least one")
    return items


def _device_key(on: str | Device | System) -> str:
    device = on.device if isinstance(on, System) else on
    return device.key if isinstance(device, Device) else str(device)


def _predicted(asked: Mapping[str, Any], base: Mapping[str, Any], more: Mapping[str, Any]) -> Prediction:
    """A prediction with the what-ifs of the base, and those of a variant on top of them."""
    rest = {key: value for key, value in asked.items() if key not in ("on", "count", "stack")}
    on, count = asked["on"], asked["count"]
    target = target_of(on, count, resolve_techniques(expanded(asked["using"])))
    rest["model"], base = scaled_model(find_model(asked["model"]), base)
    target, software = apply_what_ifs(target, find_stack(asked["stack"]), base)
    return predict(on=target, stack=software, what_if=more, **rest)


def column_labels(names: Sequence[tuple[str, str]], variants: Sequence[str]) -> tuple[str, ...]:
    """Labels of columns: of (model, device) pairs the part that differs, then the variants; equal ones are numbered."""
    models, devices = ({pair[i] for pair in names} for i in (0, 1))
    if len(names) == 1:
        labels = [BASE if variants else names[0][1]]
    elif len(models) == 1:
        labels = [device for _, device in names]
    else:
        labels = [model if len(devices) == 1 else f"{model} on {device}" for model, device in names]
    seen: Counter[str] = Counter()
    result = []
    for label in (*labels, *variants):
        seen[label] += 1
        result.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return tuple(result)
