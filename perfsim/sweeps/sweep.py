"""Sweeps: many predictions at once, as arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import product
from math import prod
from types import NoneType
from typing import TYPE_CHECKING, Any

from perfsim.catalog import device as find_device
from perfsim.catalog import model as find_model
from perfsim.catalog import stack as find_stack
from perfsim.devices import Device, Stack, System
from perfsim.errors import InputError, UnknownNameError, checked_type
from perfsim.prediction.model_scaling import PREFIX, scaled_model
from perfsim.prediction.paths import check_once
from perfsim.prediction.predict import apply_what_ifs
from perfsim.prediction.target import target_of
from perfsim.sweeps.axes import Axis, grid
from perfsim.sweeps.metrics import DEFAULT, METRICS
from perfsim.techniques.base import Technique
from perfsim.techniques.registry import resolve_techniques
from perfsim.workloads import Job

if TYPE_CHECKING:
    import xarray

    from perfsim.sweeps.program import Box, Program
    from perfsim.sweeps.variant import Result, Variant

__all__ = ["STRUCTURAL", "Sweep", "label", "parametrised", "plan_sweep", "quantity", "sweep"]

STRUCTURAL = ("model", "device", "stack", "count", "using", "dtype")
"""Columns that make another variant with every value."""

RECORDED = ("batch", "prompt_tokens", "output_tokens", "context_length")
"""Fields of jobs that are evaluated as arrays; every other field makes a variant with every value."""

COMPILE_FROM = 2_000_000_000
"""Points of a variant times its expressions from which loading numba pays, where the ``compiled`` extra is there."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """A sweep that was asked for, ready to be evaluated as a whole or in parts.

    axes: dimensions of the result; job: its fields where no axis states them; base: what is fixed, by structural name;
    what_if: fixed what-ifs; money: region, pue and offer; metrics: names of the variables; workers: threads;
    compiled: whether programs are compiled, None for large ones where numba is installed.
    """

    axes: tuple[Axis, ...]
    job: Job
    base: Mapping[str, Any]
    what_if: Mapping[str, Any] = field(default_factory=dict)
    money: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = DEFAULT
    workers: int = 0
    compiled: bool | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs to evaluate parts: what was asked, without what was recorded."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def sizes(self) -> tuple[int, ...]:
        """Rows of each dimension."""
        return tuple(map(len, self.axes))

    @property
    def points(self) -> int:
        """All combinations [1]."""
        return prod(self.sizes)

    @cached_property
    def _owner(self) -> dict[str, int]:
        """Dimension of each column."""
        return {column: d for d, axis in enumerate(self.axes) for column in axis.columns}

    @cached_property
    def _structural(self) -> tuple[str, ...]:
        return tuple(column for column in self._owner if not self._is_number(column))

    def _is_number(self, column: str) -> bool:
        if column in RECORDED:
            return True
        path = column.partition(".")[0] in ("device", "stack", "link") and "." in column
        return path and column != "device.operating_point"

    @cached_property
    def _variants(self) -> dict[Any, Variant]:
        return {}

    @property
    def variants(self) -> list[Variant]:
        """Structural variants that were evaluated so far."""
        return list(self._variants.values())

    @cached_property
    def refusals(self) -> set[str]:
        """Why points were refused, as far as they were evaluated."""
        return set()

    def evaluate(self, part: Sequence[slice] | None = None) -> Result:
        """Metrics over all points, or over some rows of every dimension; arrays have one row along the dimensions on
        which they do not depend. Refused points are NaN, and True in ``refused``.
        """
        from perfsim.sweeps.variant import assembled

        rows = [range(*s.indices(n)) for s, n in zip(part or [slice(None)] * len(self.axes), self.sizes, strict=True)]
        pieces = [(places, self._evaluate_variant(chosen, rows, places)) for chosen, places in self._divided(rows)]
        result = assembled(tuple(map(len, rows)), pieces)
        return {name: value.reshape(value.shape or (1,) * len(rows)) for name, value in result.items()}

    def _divided(self, rows: Sequence[range]) -> Iterator[tuple[dict[str, Any], dict[int, Any]]]:
        """Structural choices, and the places in ``rows`` where each holds, by dimension."""
        import numpy as np

        groups: list[list[tuple[int, dict[str, Any], Any]]] = []
        for d in sorted({self._owner[column] for column in self._structural}):
            columns = [c for c in self._structural if self._owner[c] == d]
            found: dict[str, tuple[dict[str, Any], list[int]]] = {}
            for place, row in enumerate(rows[d]):
                chosen = {c: self.axes[d].columns[c][row] for c in columns}
                found.setdefault(repr(sorted((c, label(v)) for c, v in chosen.items())), (chosen, []))[1].append(place)
            groups.append([(d, chosen, np.array(places)) for chosen, places in found.values()])
        for combination in product(*groups):
            merged: dict[str, Any] = {}
            for _, chosen, _ in combination:
                merged |= chosen
            yield merged, {d: places for d, _, places in combination}

    def _evaluate_variant(self, chosen: Mapping[str, Any], rows: Sequence[range], places: Mapping[int, Any]) -> Result:
        import numpy as np

        from perfsim.sweeps.program import Box

        key = repr(sorted((c, label(v)) for c, v in chosen.items()))
        if key not in self._variants:
            self._variants[key] = self._variant(chosen)
        variant = self._variants[key]
        kept = [np.asarray(r)[places[d]] if d in places else np.asarray(r) for d, r in enumerate(rows)]
        columns = {}
        for name in variant.leaves:
            d = self._owner.get(name, -1)
            if d < 0:
                columns[name] = (-1, np.array([variant.leaves[name].low]))
            else:
                columns[name] = (d, self._numbers(variant, name)[kept[d]])
        result = variant.evaluate(Box(tuple(map(len, kept)), columns), self._run)
        self.refusals.update(variant.refusals)
        return result

    def _run(self, program: Program, box: Box) -> Result:
        from perfsim.sweeps.compiled import evaluate_compiled, is_there

        wanted = self.compiled
        if wanted is None:
            wanted = prod(box.sizes) * len(program.nodes) >= COMPILE_FROM and is_there()
        if wanted and not program.loops:
            return evaluate_compiled(program, box, self._threads)
        return program.evaluate(box, self._threads)

    @property
    def _threads(self) -> int:
        return self.workers or os.cpu_count() or 1

    def _numbers(self, variant: Variant, name: str) -> Any:
        """Values of a numeric column in SI units, as a variant's device and stack understand them."""
        import numpy as np

        cache = variant.__dict__.setdefault("columns", {})
        if name not in cache:
            values = self.axes[self._owner[name]].columns[name]
            if name in RECORDED:
                cache[name] = np.asarray(values, dtype=float)
            else:
                target, software = variant.request["on"], variant.request["stack"]
                cache[name] = np.array([quantity(target, software, name, value) for value in values], dtype=float)
        return cache[name]

    def _variant(self, chosen: Mapping[str, Any]) -> Variant:
        import numpy as np

        from perfsim.sweeps.variant import Leaf, Variant

        choice = {**self.base, **{c: v for c, v in chosen.items() if c in STRUCTURAL}}
        job_fields = {f.name for f in fields(self.job)}
        changes = {c: v for c, v in chosen.items() if c in job_fields}
        job = self.job.replace(**{**changes, **({"dtype": choice["dtype"]} if choice.get("dtype") else {})})
        settled = {c: v for c, v in chosen.items() if c == "device.operating_point" or c.startswith(PREFIX)}
        network, what_if = scaled_model(find_model(choice["model"]), {**self.what_if, **settled})
        using = parametrised(choice["using"], {c: v for c, v in chosen.items() if c.startswith("using.")})
        target = target_of(choice["device"], choice["count"], using)
        software = find_stack(choice["stack"])
        target, software = apply_what_ifs(target, software, what_if)
        request = {"model": network, "on": target, "stack": software, "using": using, **self.money}
        variant = Variant(request, job, {}, self.metrics)
        leaves = {}
        for name in [n for n in RECORDED if n in job_fields] + [n for n in self._owner if self._is_path(n)]:
            if name in self._owner:
                values = self._numbers(variant, name)
                leaves[name] = Leaf(float(np.min(values)), float(np.max(values)), name in RECORDED)
            else:
                value = getattr(job, name)
                leaves[name] = Leaf(value, value, True)
        variant.leaves = leaves
        return variant

    def _is_path(self, name: str) -> bool:
        return self._is_number(name) and name not in RECORDED

    def dataset(self, result: Result | None = None) -> xarray.Dataset:
        """The result (of :meth:`evaluate`) with named coordinates and units; every variable has every dimension."""
        from perfsim.sweeps.dataset import to_dataset

        return to_dataset(self, self.evaluate() if result is None else result)


def label(value: Any) -> str:
    """What tells the values of a structural column apart, as text."""
    if isinstance(value, list | tuple):
        return "+".join(label(v) for v in value)
    if isinstance(value, System):
        return f"{value.count} x {label(value.device)}"
    if isinstance(value, Device | Stack):
        return f"{value.key} {sorted((path, datum.value) for path, datum in value.data.items())}"
    return str(value) if isinstance(value, str | Technique) else repr(value)


def quantity(target: System, software: Stack, path: str, value: Any) -> float:
    """A what-if value in SI units on a device and stack.

    Raises
    ------
    PerfsimError
        as :func:`perfsim.prediction.predict.apply_what_ifs`.
    """
    changed, stack = apply_what_ifs(target, software, {path: value})
    kind, _, rest = path.partition(".")
    profile = stack if kind == "stack" else changed.device
    return float(profile.datum(path if kind == "link" else rest).value)


def parametrised(using: Iterable[str | Technique], changes: Mapping[str, Any]) -> tuple[Technique, ...]:
    """The chain with parameters changed, by ``using.<technique>.<parameter>``.

    Raises
    ------
    UnknownNameError
        for a technique that is not in the chain, or has no such parameter.
    """
    chain = list(resolve_techniques(using))
    for path, value in changes.items():
        _, name, parameter = path.split(".", 2)
        found = [i for i, technique in enumerate(chain) if technique.name == name]
        if not found or parameter not in {f.name for f in fields(chain[found[0]])}:
            known = [f"using.{t.name}.{f.name}" for t in chain for f in fields(t)]
            raise UnknownNameError("parameter of a technique in use", path, known)
        chain[found[0]] = replace(chain[found[0]], **{parameter: value})
    return tuple(chain)


def plan_sweep(
    model: Any, job: Job, on: Any, *, count: Any = None, stack: Any = "ideal", using: Any = (),
    vary: Mapping[str, Iterable[Any]] | None = None, along: Iterable[Axis] = (),
    what_if: Mapping[str, Any] | None = None,
    region: str | None = None, pue: float | str | None = None, offer: str | None = None,
    metrics: Sequence[str] | None = None, workers: int = 0, compiled: bool | None = None, **columns: Iterable[Any],
) -> Sweep:  # fmt: skip
    """A :class:`Sweep` from the arguments of :func:`sweep`, checked but not evaluated.

    Raises
    ------
    PerfsimError
        for unknown names, wrong units, values out of range, or a column that is stated twice.
    """
    if not isinstance(job, Job):
        raise InputError(f"job is {type(job).__name__}, expected e.g. Inference(prompt_tokens=1024, output_tokens=128)")
    _check_types(what_if, vary, along, metrics, workers)
    listed: dict[str, Any] = {}
    base: dict[str, Any] = {"dtype": None}
    chains = isinstance(using, list | tuple) and bool(using) and all(isinstance(u, list | tuple) for u in using)
    for name, value in {"model": model, "device": on, "stack": stack, "count": count, "using": using}.items():
        if chains if name == "using" else isinstance(value, list | tuple | range):
            listed[name] = value
        else:
            base[name] = value
    axes = [*grid(listed), *grid({**columns, **(vary or {})}), *along]
    for axis in axes:
        checked_type("along", axis, Axis, "axes, e.g. from perfsim.sweeps.zipped")
    chosen = tuple(metrics) if metrics is not None else DEFAULT
    for name in chosen:
        if name not in METRICS:
            raise UnknownNameError("metric", name, METRICS)
    money = {"region": region, "pue": pue, "offer": offer}
    plan = Sweep(tuple(axes), job, base, what_if or {}, money, chosen, workers, compiled)
    _check(plan)
    return plan


def _check_types(what_if: Any, vary: Any, along: Any, metrics: Any, workers: Any) -> None:
    checked_type("what_if", what_if, (Mapping, NoneType), 'quantities by path, e.g. {"stack.kernel_launch": "x0.5"}')
    checked_type("vary", vary, (Mapping, NoneType), 'lists of values by path, e.g. {"stack.kernel_launch": ["x0.5"]}')
    checked_type("along", along, Iterable, "a list of axes, e.g. from perfsim.sweeps.zipped")
    checked_type("metrics", metrics, (list, tuple, NoneType), 'a list of names, e.g. metrics=["runtime"]')
    checked_type("workers", workers, int, "a whole number of threads, 0 for all")


def _check(plan: Sweep) -> None:
    job_fields = {f.name for f in fields(plan.job)}
    seen: set[str] = set()
    names = [axis.name for axis in plan.axes]
    for axis in plan.axes:
        if names.count(axis.name) > 1:
            raise InputError(f"two axes are named {axis.name}; name one of them otherwise")
        for column, values in axis.columns.items():
            if column in seen:
                raise InputError(f"{column} varies along two axes; state it once")
            seen.add(column)
            _check_column(plan, column, values, job_fields)
    _check_paths(plan)


def _check_paths(plan: Sweep) -> None:
    """Refuse a quantity that varies along two axes, or varies and is fixed, under one name or two."""
    paths = [*plan.what_if, *(column for axis in plan.axes for column in axis.columns if "." in column)]
    devices = [values for axis in plan.axes for name, values in axis.columns.items() if name == "device"]
    if len(paths) > 1:
        for on in devices[0] if devices else [plan.base["device"]]:
            check_once(paths, find_device(on.device if isinstance(on, System) else on))


def _check_column(plan: Sweep, column: str, values: Sequence[Any], job_fields: set[str]) -> None:
    if column in STRUCTURAL or column.startswith(("using.", PREFIX)):
        return
    if plan._is_path(column) or column == "device.operating_point":  # noqa: SLF001
        return
    if column not in job_fields:
        known = [*job_fields, *STRUCTURAL, "device.memory.main.bandwidth", "stack.kernel_launch"]
        raise UnknownNameError("axis", column, known, "Axes are fields of the job or what-if paths")
    for value in values if column not in RECORDED else _extremes(values):
        plan.job.replace(**{column: value})


def _extremes(values: Sequence[Any]) -> list[Any]:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int):
            return [value]
    return [min(values), max(values)]


def sweep(model: Any, job: Job, on: Any, **options: Any) -> xarray.Dataset:
    """Predict every combination of the axes.

    model, on, stack, count: one or a list; job: e.g. ``Inference(dtype="bf16")``; any field of it is an axis
    (``batch=[1, 8, 64]``, ``prompt_tokens=range(256, 8192, 256)``); using: a chain of techniques or a list of chains;
    vary: what-if paths → values, e.g. ``{"device.memory.hbm.bandwidth": ["2 TB/s", "4 TB/s"]}``, and
    ``using.<technique>.<parameter>``; along: further axes from :func:`perfsim.sweeps.zipped`,
    :func:`~perfsim.sweeps.points`, :func:`~perfsim.sweeps.sobol` ...; what_if, region, pue, offer: as in
    :func:`perfsim.predict`; metrics: names of variables, :data:`perfsim.sweeps.METRICS`; workers: threads;
    compiled: whether numba compiles the programs, by default for large sweeps where it is installed.

    Returns an ``xarray.Dataset``: variables in SI units over named dimensions. Points that do not fit stay in and
    are False in ``fits``; combinations that :func:`perfsim.predict` refuses are NaN, and True in ``refused``.

    Raises
    ------
    PerfsimError
        for unknown names, wrong units, or values out of range.
    """
    return plan_sweep(model, job, on, **options).dataset()
