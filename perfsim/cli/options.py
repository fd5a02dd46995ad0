"""The options that say what to predict, and the request that they make; shared by all commands that predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

import click

from perfsim.architectures import ForwardModel, Model
from perfsim.catalog import model as find_model
from perfsim.catalog import stack as find_stack
from perfsim.catalog.systems import expanded
from perfsim.cli.kinds import MAXIMUM, WHOLE, Batch
from perfsim.devices import Stack, System
from perfsim.errors import InputError, UnknownNameError
from perfsim.prediction.memory_remarks import memory_remarks, shortages
from perfsim.prediction.model_scaling import scaled_model
from perfsim.prediction.predict import apply_what_ifs, largest_batch, predict
from perfsim.prediction.prediction import Prediction
from perfsim.prediction.target import target_of
from perfsim.techniques.base import Technique
from perfsim.techniques.parallel import Parallel
from perfsim.techniques.registry import resolve_techniques
from perfsim.workloads import JOBS, Job

__all__ = ["Request", "changes_of", "job_options", "read_request", "task_of"]

MONEY = ("region", "pue", "offer")
"""Options that say how carbon and cost are counted."""

_FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "batch": "--batch", "prompt_tokens": "--prompt-tokens", "output_tokens": "--output-tokens",
        "context_length": "--context-length", "image_size": "--image-size", "steps": "--steps",
        "global_batch": "--global-batch", "sequence": "--sequence", "tokens": "--tokens", "frames": "--frames",
    }
)  # fmt: skip


_OPTIONS = (
    click.option("--count", type=WHOLE, help="Devices. Default: the product of the parallel degrees, else 1."),
    click.option("--stack", default="ideal", show_default=True, help="Software: a name or file; ideal is a bound."),
    click.option("--task", help=f"One of {', '.join(JOBS)}. Default: single-pass for vision models, else inference."),
    click.option("--batch", type=Batch(), help="Sequences at once; max is the largest batch that fits the memory."),
    click.option("--prompt-tokens", type=WHOLE, help="Tokens per prompt (inference, prefill)."),
    click.option("--output-tokens", type=WHOLE, help="New tokens per prompt (inference)."),
    click.option("--context-length", type=WHOLE, help="Positions that the step sees, the new one included (decode)."),
    click.option("--dtype", help="Number format, e.g. bf16. Default: the model's own, if the device computes in it."),
    click.option("--image-size", type=WHOLE, help="Pixels per side (single-pass, diffusion)."),
    click.option("--steps", type=WHOLE, help="Passes of the denoiser per image (diffusion)."),
    click.option("--global-batch", type=WHOLE, help="Sequences per step of the optimizer (training)."),
    click.option("--sequence", type=WHOLE, help="Tokens per text (single-pass, training)."),
    click.option("--tokens", type=float, help="Tokens of the whole run, e.g. 300e9; one step without (training)."),
    click.option("--frames", type=WHOLE, help="Spectra per recording (single-pass of speech networks)."),
    click.option("--using", multiple=True, metavar="NAME:key=value,...", help="Technique; repeatable, in order."),
    click.option("--set", "changes", multiple=True, metavar="PATH=VALUE",
                 help='What-if, repeatable: device.memory.main.bandwidth="4 TB/s", stack.kernel_launch=x0.5.'),
    click.option("--strict", is_flag=True, help="Refuse imported graphs that hold operators without a cost rule."),
    click.option("--tensor-parallel", type=WHOLE, help="Devices that share every layer. Default: the rest of --count."),
    click.option("--pipeline-parallel", type=WHOLE, help="Stages of consecutive layers."),
    click.option("--data-parallel", type=WHOLE, help="Replicas that share the batch."),
    click.option("--expert-parallel", type=WHOLE, help="Tensor-parallel devices that hold whole experts."),
    click.option("--micro-batch", type=WHOLE, help="Sequences per pass of a replica (training)."),
    click.option("--interleave", type=WHOLE, help="Parts of the network per pipeline stage (training)."),
    click.option("--sequence-parallel", "positions", type=int, flag_value=1, is_flag=False, default=None, metavar="",
                 help="Tensor-parallel devices share positions between products, too (training)."),
    click.option("--region", help="Grid of the carbon: a country or cloud region, e.g. FRA or europe-west9."),
    click.option("--pue", help="Power usage effectiveness: a number or a name. Default: the industry's mean."),
    click.option("--offer", help="Price: one of the device's offers. Default: the first one listed."),
)  # fmt: skip


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that :func:`read_request` reads."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True)
class Request:
    """What to predict, checked as far as possible without predicting."""

    model: Model
    job: Job
    system: System
    stack: Stack
    using: tuple[Technique, ...]
    money: Mapping[str, Any]
    strict: bool = False

    def predict(self) -> Prediction:
        """The prediction.

        Raises
        ------
        PerfsimError
            where the parts do not go together.
        """
        return predict(
            self.model, self.job, self.system, stack=self.stack, using=self.using, strict=self.strict, **self.money
        )


def read_request(model: str, on: str, options: Mapping[str, Any]) -> Request:
    """The request that the values of :func:`job_options` make; ``variant`` holds what-ifs on top of the options'.

    Raises
    ------
    PerfsimError
        for anything that is unknown, out of range, or does not belong to the task.
    """
    network, changes = scaled_model(find_model(model), changes_of(options["changes"]))
    network, variant = scaled_model(network, options.get("variant", {}))
    task = task_of(options, network)
    if options["image_size"] is not None and not isinstance(network, ForwardModel):
        given = f"--image-size {options['image_size']}"
        raise InputError(f"{given}: {network.name} is a language model and sees no images; leave it out")
    fields_of_job = _job_fields(options, task)
    using = resolve_techniques(expanded(options["using"]))
    layout = _layout(options, using)
    chain = using if layout is None else (*using, layout)
    target, software = target_of(on, options["count"], chain), find_stack(options["stack"])
    target, software = apply_what_ifs(target, software, changes)
    target, software = apply_what_ifs(target, software, variant)
    kind = JOBS[task]
    if fields_of_job.get("batch") == MAXIMUM:
        fields_of_job["batch"] = _largest(network, kind(**{**fields_of_job, "batch": 1}), target, software, chain)
    money = {name: options[name] for name in MONEY}
    return Request(network, kind(**fields_of_job), target, software, chain, money, bool(options["strict"]))


def _largest(model: Model, job: Job, target: System, stack: Stack, chain: tuple[Technique, ...]) -> int:
    found = largest_batch(model, job, target, stack=stack, using=chain)
    if found:
        return found
    memory = predict(model, job, target, stack=stack, using=chain).memory
    if memory.fits is None:
        raise InputError(f"--batch max: {memory_remarks(memory, target.device.key)[0]}; state a batch")
    amounts = "; ".join(shortages(memory))
    raise InputError(
        f"--batch max: not even batch=1 fits: {amounts}; use more devices, shorter sequences or fewer bits"
    )


def task_of(options: Mapping[str, Any], model: Model) -> str:
    """The stated task, else what one does with such a model."""
    return model.usual_task if options["task"] is None else str(options["task"])


def _job_fields(options: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Stated fields of the job; a field of another task is refused."""
    if task not in JOBS:
        raise UnknownNameError("task", task, JOBS)
    known = {f.name for f in fields(JOBS[task])}
    stated = {name: options[name] for name in (*_FLAGS, "dtype") if options[name] is not None}
    for name in stated:
        if name not in known:
            takes = ", ".join(flag for field, flag in _FLAGS.items() if field in known)
            others = [other for other, kind in JOBS.items() if name in {f.name for f in fields(kind)}]
            advice = f"; use --task {' or '.join(others)}" if others else "; leave it out"
            raise InputError(f"{_FLAGS[name]} {stated[name]}: --task {task} takes {takes}{advice}")
    return stated


def _layout(options: Mapping[str, Any], using: tuple[Technique, ...]) -> Parallel | None:
    """The layout that the degrees state; devices of ``--count`` that are left over are tensor parallel."""
    names = [f.name for f in fields(Parallel)]
    flags = {n: options[n if n in options else f"{n}_parallel"] for n in names}
    stated = {name: value for name, value in flags.items() if value is not None}
    if not stated:
        return None
    if any(isinstance(technique, Parallel) for technique in using):
        raise InputError("the parallel layout is stated twice, by --using parallel and by an option; state it once")
    layout, count = Parallel(**stated), options["count"]
    others = layout.pipeline * layout.data
    if "tensor" not in stated and count is not None and count > 0 and count % others == 0:
        return Parallel(**{**stated, "tensor": count // others})
    return layout


def changes_of(texts: tuple[str, ...]) -> dict[str, str]:
    """What-ifs by path, from the values of ``--set``.

    Raises
    ------
    InputError
        for a text that is not ``PATH=VALUE``, or a path that is stated twice.
    """
    changes: dict[str, str] = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals or not path.strip() or not value.strip():
            raise InputError(f'--set "{text}": expected PATH=VALUE, e.g. --set device.memory.main.bandwidth="4 TB/s"')
        if path.strip() in changes:
            raise InputError(f"--set {path.strip()}: stated twice; state it once")
        changes[path.strip()] = value.strip()
    return changes
