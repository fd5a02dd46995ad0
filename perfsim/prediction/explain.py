"""Where the numbers of a prediction come from: formulas, sources, bounds, and what would move a bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import sympy

from perfsim.costs import KernelCost, PhaseCost
from perfsim.errors import InputError, UnknownNameError
from perfsim.graph import Operator, Unit
from perfsim.prediction.crossing import moves
from perfsim.prediction.numbers_used import numbers_used
from perfsim.prediction.rows import OperatorRow
from perfsim.prediction.symbolic import MEANING, Formula, PhaseFormulas, formula_text, middle, of_step, phase_formulas
from perfsim.quantities.dimensions import Dimension
from perfsim.quantities.numbers import Number, is_array
from perfsim.quantities.units import DIMENSIONS, format_quantity

if TYPE_CHECKING:
    from perfsim.prediction.prediction import Prediction

__all__ = ["explain"]

TIME, BYTES, FLOP = DIMENSIONS["time"], DIMENSIONS["capacity"], Dimension.of(FLOP=1)

HOST = "host"
"""Name of the row in which the device waits for the host."""


@dataclass(frozen=True, eq=False)
class _Entry:
    """A kernel of a phase with its cost, its formula and its row of the result."""

    cost: KernelCost
    count: Number
    formula: Formula
    row: OperatorRow
    phase: PhaseCost
    symbols: PhaseFormulas

    @property
    def step(self) -> int:
        return middle(self.phase.steps)

    @cached_property
    def activities(self) -> dict[str, Number]:
        """Time of each activity of one execution in the shown step [s]."""
        named = {
            "compute": self.cost.compute,
            "memory": self.cost.memory,
            "network": self.cost.network,
            "chain": self.cost.chain,
        }
        return {name: float(of_step(value, self.step)) for name, value in named.items()}

    @property
    def total(self) -> dict[str, Number]:
        """The same over all executions and steps; the chain and the launch are overhead [s]."""
        cost = self.cost
        overhead = cost.launch + cost.chain
        named = {"compute": cost.compute, "memory": cost.memory, "network": cost.network, "overhead": overhead}
        return {name: self.phase.over_job(value * self.count) for name, value in named.items()}


def explain(p: Prediction, phase: str | None = None, operator: str | None = None) -> str:
    """Text that derives a phase (all phases by default), or one kernel in detail.

    phase: e.g. ``decode``; operator: name of a kernel or of an operator inside one, e.g. ``layer.attention.qkv``;
    the region may be left out.

    Raises
    ------
    UnknownNameError, InputError
        if there is no such phase or operator, or the prediction is a sweep.
    """
    if is_array(p.runtime):
        raise InputError("explain: this prediction holds many points; predict one of them to explain it")
    names = [cost.name for cost in p.costs]
    if phase is not None and phase not in names:
        raise UnknownNameError("phase", phase, names)
    formulas = phase_formulas(p)
    chosen = [index for index, name in enumerate(names) if phase in (None, name)]
    entries = {index: _entries(p, index, formulas[index]) for index in chosen}
    if operator is None:
        return "\n".join(_phase_text(p, index, entries[index]) for index in chosen)
    if operator == HOST:
        return "\n".join(_host_text(p, p.costs[index]) for index in chosen)
    found = [entry for index in chosen for entry in entries[index] if _is_named(entry, operator)]
    if not found:
        known = {op for index in chosen for entry in entries[index] for op in entry.cost.parts}
        raise UnknownNameError("operator", operator, known, f"Phases: {', '.join(names)}")
    return "\n".join("\n".join(_detail(p, entry)) + "\n" for entry in found)


def _is_named(entry: _Entry, operator: str) -> bool:
    return any(name == operator or name.partition(".")[2] == operator for name in entry.cost.parts)


def _entries(p: Prediction, index: int, symbols: PhaseFormulas) -> list[_Entry]:
    phase = p.costs[index]
    rows = [row for row in p.operators if row.phase == phase.name]
    pairs = zip(phase.kernels, symbols.formulas, rows, strict=False)  # the last row may be the host
    return [_Entry(cost, count, formula, row, phase, symbols) for (cost, count), formula, row in pairs]


def _phase_text(p: Prediction, index: int, entries: list[_Entry]) -> str:
    row = p.phases[index]
    if not entries:  # a declared delay
        return f"{row.name} of {p.model.name}: no work on the device, {_time(row.runtime)} of {_time(p.runtime)}\n"
    lines = [
        f"{row.name} of {p.setup}: {row.repeat} step(s), {_time(row.runtime)} of {_time(p.runtime)}; "
        f"bound: {row.bound}",
        *_symbol_lines(entries),
        "numbers:",
        *(f"  {line}" for line in numbers_used(p, entries[0].phase)),
        "kernels, per execution on one device, longest first:",
    ]
    for entry in sorted(entries, key=lambda e: -e.row.runtime):
        share = 100 * entry.row.runtime / row.runtime if row.runtime else 0.0
        lines.append(f"  {entry.cost.name} × {entry.row.count}: {_time(entry.row.runtime)}, {share:.1f} %")
        lines += [f"    {line}" for line in _formula_lines(p, entry)]
    phase = entries[0].phase
    device = sum(e.row.runtime for e in entries)
    late = f" + throttling {_time(phase.throttling)}" if phase.throttling else ""
    lines.append(
        f"runtime = kernels {_time(device)} + waiting for the host {_time(phase.overhead)}{late} = {_time(row.runtime)}"
    )
    return "\n".join(lines) + "\n"


def _host_text(p: Prediction, phase: PhaseCost) -> str:
    """What the device waits for between and beside its kernels."""
    step = middle(phase.steps)
    unthrottled = 1 - phase.throttling / phase.runtime
    whole = float(of_step(phase.step_runtimes, step)) * unthrottled
    kernels = sum(float(of_step(cost.runtime, step)) * count for cost, count in phase.kernels)
    names = ("host_", "step_")
    lines = [
        f"host in {phase.name} of {p.model.name} under {p.stack.key}: {_time(phase.overhead)} in {phase.steps} step(s)",
        *(
            f"  stack.{path} = {datum}"
            for path, datum in p.stack.data.items()
            if path.startswith(names) and datum.value
        ),
        f"shown step: {_time(whole)}, its kernels {_time(kernels)}, waiting for the host {_time(whole - kernels)}",
    ]
    return "\n".join(lines) + "\n"


def _symbol_lines(entries: list[_Entry]) -> Iterator[str]:
    first = entries[0]
    for name, value in first.symbols.values.items():
        if is_array(value) and value.shape[-1] > 1:
            ends = f"{value[..., 0].item():.0f} … {value[..., -1].item():.0f}"
            shown = f"{ends}, in the shown step {of_step(value, first.step)}"
        else:
            shown = str(of_step(value, 0))
        yield f"  {name} = {shown}: {MEANING[name]}"


def _formula_lines(p: Prediction, entry: _Entry) -> Iterator[str]:
    cost, formula, step = entry.cost, entry.formula, entry.step
    flops, traffic = (entry.symbols.value(e, step) for e in (formula.flops, formula.traffic))
    if flops:
        yield f"work    = {formula_text(formula.flops)} FLOP = {format_quantity(flops, FLOP)}"
    if traffic:
        yield f"traffic = {formula_text(formula.traffic)} byte = {format_quantity(traffic, BYTES)}"
    if cost.plan is not None:
        yield from cost.plan.lines()
        yield f"bound   : {entry.row.bound}"
        return
    main = float(of_step(cost.traffic, step))
    if main < traffic * (1 - 1e-9):
        device = p.system.device
        cached = device.cache.name if device.cache else "cache"
        yield f"          of these {format_quantity(main, BYTES)} from {device.main_memory}, the rest from {cached}"
    if entry.activities["compute"]:
        yield _rate("compute", "work", flops, entry.activities["compute"], cost.peak, "peak", "FLOP/s")
    if entry.activities["memory"]:
        if main < traffic * (1 - 1e-9):
            yield f"memory  = {_time(entry.activities['memory'])}, the slower of the two levels"
        else:
            rate = (entry.activities["memory"], p.system.device.bandwidth, "bandwidth", "B/s")
            yield _rate("memory", "traffic", traffic, *rate)
    sent = of_step(cost.link_bytes, step)
    if entry.activities["network"]:
        yield f"network = {_time(entry.activities['network'])} for {format_quantity(sent, BYTES)} sent by each device"
    if entry.activities["chain"]:
        yield f"chain   = {_time(entry.activities['chain'])} to add up one output tile"
    if cost.tiling is not None:
        yield from cost.tiling.text
    yield _sum(entry)
    yield f"bound   : {entry.row.bound}{_movers(p, entry)}"


def _rate(name: str, what: str, amount: float, time: float, peak: Number, limit: str, unit: str) -> str:
    """One activity as amount over rate, and the rate as a share of what the device states."""
    rate = amount / time
    limit_text = format_quantity(peak, DIMENSIONS["peak" if unit == "FLOP/s" else "bandwidth"])
    return f"{name:7s} = {what} / ({100 * rate / peak:.4g} % of {limit} {limit_text}) = {_time(time)}"


def _sum(entry: _Entry) -> str:
    """The time formula, evaluated: launch + longest activity + what of the rest is not hidden."""
    runtime, launch = (float(of_step(value, entry.step)) for value in (entry.cost.runtime, entry.cost.launch))
    present = {name: value for name, value in entry.activities.items() if value}
    if not present:
        return f"time    = launch {_time(launch)} = {_time(runtime)}"
    longest = max(present.values())
    unhidden = runtime - launch - longest
    rest = f" + unhidden {_time(unhidden)}" if unhidden > 1e-9 * runtime else ""
    return f"time    = launch {_time(launch)} + max({', '.join(present)}) {_time(longest)}{rest} = {_time(runtime)}"


def _movers(p: Prediction, entry: _Entry) -> str:
    """What would have to change for the bound to move."""
    times = entry.total
    bound = entry.row.bound
    others = {name: value for name, value in times.items() if name != bound and value > 0}
    if not others or not times.get(bound):
        return "; nothing else takes time in it"
    other = max(others, key=lambda name: others[name])
    ratio = times[bound] / others[other]
    levers = {
        "compute": "peak",
        "memory": "bandwidth",
        "network": "link speed (latency included)",
        "overhead": "fixed time",
    }
    first = f"{levers[bound]} {'/' if bound == 'overhead' else '×'} {ratio:.3g}"
    second = f"{levers[other]} {'×' if other == 'overhead' else '/'} {ratio:.3g}"
    text = f"; {first} or {second} makes it {other}-bound"
    return f"{text}; {moves(p, entry.formula, entry.symbols, entry.step, bound)}"


def _detail(p: Prediction, entry: _Entry) -> Iterator[str]:
    """One kernel: its operators, its tensors, and the lines that a phase shows of it."""
    row, graph = entry.row, entry.formula.graph
    yield f"{row.name} ({row.kind}) in {row.phase} of {p.setup}: {row.count} execution(s), {_time(row.runtime)}"
    yield from _symbol_lines([entry])
    yield "numbers:"
    yield from (f"  {line}" for line in numbers_used(p, entry.phase, entry.cost))
    yield "operators:"
    for op in entry.formula.kernel.operators:
        yield f"  {_operator_line(op, entry)}"
    for title, edges in (("reads", entry.formula.kernel.reads), ("writes", entry.formula.kernel.writes)):
        yield f"{title}:"
        for op, name in edges:
            tensor = graph.tensors[name]
            shape = " × ".join(formula_text(sympy.sympify(of_step(n, entry.step))) for n in tensor.shape)
            accessed = of_step(entry.formula.kernel.accessed(op, name, graph.tensors), entry.step)
            size = formula_text(sympy.sympify(accessed))
            where = f"{size} byte" if tensor.placement.name == "MAIN" else "on chip"
            yield f"  {name}: {tensor.role.value} {shape} {tensor.dtype}: {where}"
    yield from _formula_lines(p, entry)
    working = p.working
    total = f"{_flops(row)}{format_quantity(row.traffic, BYTES)} traffic"
    yield f"total   = × {row.count} execution(s) × {working} device(s): {total}"


def _flops(row: OperatorRow) -> str:
    return f"{format_quantity(row.flops, FLOP)}, " if row.flops else ""


def _operator_line(op: Operator, entry: _Entry) -> str:
    work = op.work(entry.formula.graph.tensors)
    flops = formula_text(sympy.sympify(of_step(work.flops, entry.step)))
    text = f"{op.name} ({op.fusion_kind}): {flops} FLOP in {work.dtype} on the {work.unit.value} unit"
    if work.unit is Unit.LINK:
        return f"{op.name} ({op.fusion_kind}): communication"
    if work.matrix is not None:
        m = work.matrix
        sizes = (formula_text(sympy.sympify(of_step(n, entry.step))) for n in (m.batch, m.m, m.k, m.n))
        batch, rows, inner, columns = sizes
        text += f"; {batch} product(s) of ({rows} × {inner}) by ({inner} × {columns})"
    return text


def _time(value: Number) -> str:
    return format_quantity(value, TIME)
