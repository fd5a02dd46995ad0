"""The main job: from names or objects to a prediction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import accumulate
from typing import Any

from perfsim.architectures import Model
from perfsim.catalog import device as find_device
from perfsim.catalog import economics as find_economics
from perfsim.catalog import model as find_model
from perfsim.catalog import stack as find_stack
from perfsim.catalog.files import Name
from perfsim.catalog.systems import expanded
from perfsim.costs import PhaseCost, memory_of, phase_cost
from perfsim.costs.memory import store_of
from perfsim.costs.money import Economics
from perfsim.costs.throttle import capped
from perfsim.devices import Device, Stack, System
from perfsim.errors import InputError, UnknownNameError
from perfsim.graph import same
from perfsim.prediction.model_scaling import PREFIX, scaled_model
from perfsim.prediction.pairing import check_purpose, stack_on
from perfsim.prediction.paths import check_once
from perfsim.prediction.prediction import Prediction
from perfsim.prediction.target import laid_out, target_of
from perfsim.quantities.numbers import is_recorded
from perfsim.techniques.base import Context, Technique
from perfsim.techniques.parallel import Parallel
from perfsim.techniques.registry import resolve_techniques
from perfsim.workloads import Job, Plan
from perfsim.workloads.job import check_whole

__all__ = ["apply_what_ifs", "largest_batch", "planned", "predict", "remodelled", "system"]

REMEMBERED_STEPS = 8192
"""Longest decode whose plan is kept for the next prediction; longer ones would hold large arrays."""


def system(device: Name | Device, count: int = 1) -> System:
    """``count`` devices of one kind.

    Raises
    ------
    UnknownNameError, CatalogError, InputError
        for an unknown device or a count below 1.
    """
    return System(find_device(device), count)


def predict(
    model: Name | Model,
    job: Job,
    on: Name | Device | System,
    *,
    count: int | None = None,
    stack: Name | Stack = "ideal",
    using: Iterable[str | Technique] = (),
    what_if: Mapping[str, Any] | None = None,
    region: str | None = None, pue: float | str | None = None, offer: str | None = None, strict: bool = False,
) -> Prediction:  # fmt: skip
    """Predict time, energy, memory and money of ``job`` with ``model`` on a device or system.

    model: catalogue name, path of a model TOML or Hugging Face config.json, or a model; job: e.g.
    ``Inference(prompt_tokens=2048, output_tokens=256, batch=8)``; on: catalogue name, path of a device TOML, a
    device or a system; count: devices, tensor parallel unless ``using`` says otherwise, by default as many as a layout
    in ``using`` needs, else 1; stack: software, ``"ideal"`` for the pure roofline; using: techniques in order; what_if:
    changed quantities by path, e.g.
    ``{"device.memory.hbm.bandwidth": "4 TB/s", "stack.kernel_launch": "x0.5", "model.width": 1.2}``; region, pue,
    offer: the grid, the power usage effectiveness and the price by which carbon and cost are counted, e.g.
    ``region="FRA", pue=1.1``; strict: refuse an imported graph that holds operators without a cost rule.

    Raises
    ------
    PerfsimError
        with one line that names what was given, what was expected and what to do.
    """
    using = resolve_techniques(expanded(using))
    target = target_of(on, count, using)
    software = find_stack(stack)
    network, changes = scaled_model(find_model(model), what_if or {})
    if changes:
        target, software = apply_what_ifs(target, software, changes)
    known = software.known_calibrations
    software = stack_on(software, target.device)
    chain = laid_out(using, target)
    _check_job(job)
    models = _models(network, target, software, chain)
    asked, network = network, models[-1]
    settled = job.resolved(network, target.device)
    plan = planned(network, settled, target, software, chain)
    stages = plan.layout.pipeline
    costs = tuple(capped(phase_cost(p, target, software, stages), target, software, stages) for p in plan.phases)
    money = find_economics(target.device, region=region, pue=pue, offer=offer)
    rerun = partial(_again, model=asked, job=job, on=target, using=chain, economics=money)
    idle = _idle(chain, models, plan)
    result = Prediction(network, settled, target, software, chain, costs, plan.layout, known, rerun, money, idle)
    return _strict(result) if strict else result


def _idle(chain: tuple[Technique, ...], models: Sequence[Model], plan: Plan) -> tuple[Technique, ...]:
    """Techniques that changed neither the model nor the plan."""
    return tuple(
        technique
        for technique, before, after in zip(chain, models, models[1:], strict=False)
        if str(technique) not in plan.changed_by and same(before, after)
    )


def _strict(prediction: Prediction) -> Prediction:
    """The prediction if every operator has a cost rule."""
    missing = prediction.coverage.without_rule
    if missing:
        raise InputError(
            f"{prediction.model.name}: no cost rule for {', '.join(missing)}; leave out strict to cost them by traffic"
        )
    return prediction


def _check_job(job: object) -> None:
    if not isinstance(job, Job):
        raise InputError(f"job is {type(job).__name__}, expected e.g. Inference(prompt_tokens=1024, output_tokens=128)")


def _again(
    *, stack: str | Stack, model: Model, job: Job, on: System, using: tuple[Technique, ...], economics: Economics
) -> Prediction:
    return replace(predict(model, job, on, stack=stack, using=using), economics=economics)


def remodelled(model: Model, target: System, stack: Stack, chain: tuple[Technique, ...]) -> Model:
    """The model after the techniques that change it, in order.

    Raises
    ------
    InputError
        with the reason, if one of them cannot apply.
    """
    return _models(model, target, stack, chain)[-1]


def _models(model: Model, target: System, stack: Stack, chain: tuple[Technique, ...]) -> list[Model]:
    """The model, and what it is behind each technique."""
    context = Context(model, target, stack, find_model)
    return list(accumulate(chain, lambda before, technique: technique.remodel(before, context), initial=model))


def planned(model: Model, job: Job, target: System, stack: Stack, chain: tuple[Technique, ...]) -> Plan:
    """The plan of a job with its techniques applied, in order.

    Raises
    ------
    InputError
        with the reason, if a technique cannot apply.
    """
    check_purpose(stack, job, target.device)
    output = getattr(job, "output_tokens", 0)
    if isinstance(output, int) and output <= REMEMBERED_STEPS and not is_recorded(job.batch):
        return _remembered(model, job, target.device, target.count, stack, chain)
    return _plan(model, job, Context(model, target, stack, find_model), chain)


@lru_cache(maxsize=32)
def _remembered(
    model: Model, job: Job, device: Device, count: int, stack: Stack, chain: tuple[Technique, ...]
) -> Plan:
    """Plans are pure functions of their arguments, so the last few are kept."""
    return _plan(model, job, Context(model, System(device, count), stack, find_model), chain)


def _plan(model: Model, job: Job, context: Context, chain: tuple[Technique, ...]) -> Plan:
    stack = context.stack
    changed = set[str]()
    for technique in chain:
        before, job = job, technique.prepare(job, context)
        if not same(before, job):
            changed.add(str(technique))
    plan = job.plan(model, stack).replace(changed_by=frozenset(changed))
    for technique in sorted(chain, key=lambda each: each.turn):
        plan = technique.rewritten(plan, context)
    return plan.job.finished(plan, stack)


def apply_what_ifs(target: System, stack: Stack, changes: Mapping[str, Any]) -> tuple[System, Stack]:
    """System and stack with some quantities changed; the catalogue keeps its values.

    Paths start with ``device.``, ``stack.`` or ``link.`` (short for ``device.link.``). ``device.operating_point``
    is applied before all others, wherever it stands.

    Raises
    ------
    UnknownNameError, UnitError, InputError
        for an unknown path, a wrong dimension, a value out of range, or two paths of one quantity.
    """
    device = target.device
    check_once(changes, device)
    for path, value in sorted(changes.items(), key=lambda change: change[0] != "device.operating_point"):
        kind, _, rest = path.partition(".")
        if kind == "device":
            device = device.replace(**{rest: value})
        elif kind == "link":
            device = device.replace(**{path: value})
        elif kind == "stack":
            stack = stack.replace(**{rest: value})
        else:
            raise UnknownNameError(
                "what-if path", path, ["device.", "stack.", "link.", PREFIX], "e.g. device.memory.main.bandwidth"
            )
    return System(device, target.count), stack


def largest_batch(
    model: Name | Model,
    job: Job,
    on: Name | Device | System,
    *,
    count: int | None = None,
    stack: Name | Stack = "ideal",
    using: Iterable[str | Technique] = (),
    most: int = 1 << 20,
) -> int:
    """Largest batch whose memory fits the devices [1]; 0 if not even one sequence fits.

    Memory grows with the batch, so the answer is bracketed and bisected; it is exact up to ``most``.

    Raises
    ------
    PerfsimError
        as :func:`predict`.
    """
    _check_job(job)
    check_whole("most", most, 1)
    using = resolve_techniques(expanded(using))
    target, software, network = target_of(on, count, using), find_stack(stack), find_model(model)
    software = stack_on(software, target.device)
    chain = laid_out(using, target)
    network = remodelled(network, target, software, chain)
    settled = job.resolved(network, target.device)
    weights_in = store_of(target.device, software)
    replicas = max(1, next((t.data for t in chain if isinstance(t, Parallel)), 1))

    def fits(batch: int) -> bool:
        plan = planned(network, settled.replace(batch=batch), target, software, chain)
        costs: tuple[PhaseCost, ...] = tuple(phase_cost(phase, target, software) for phase in plan.phases)
        return bool(memory_of(costs, target.device.capacity, plan.layout.pipeline, weights_in).fits)

    limit = settled.largest_pass(replicas)
    most = most if limit is None else min(most, limit)
    low, high = 0, replicas if limit is None else 1
    while high <= most and fits(high):
        low, high = high, high * 2
    high = min(high, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
