"""What all jobs share: number formats, checks, and the way to a plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeVar

from perfsim.architectures import Model, Step
from perfsim.devices import Device, Stack
from perfsim.errors import InputError
from perfsim.quantities.dtypes import DType
from perfsim.quantities.dtypes import dtype as find_dtype
from perfsim.quantities.numbers import Number, ceil_div, is_array, is_symbolic, plain, varies
from perfsim.workloads.plan import Plan

__all__ = ["Job", "check_whole"]

J = TypeVar("J", bound="Job")


@dataclass(frozen=True, kw_only=True)
class Job(ABC):
    """Base of all jobs. ``batch``: sequences at once; ``dtype``: number format, chosen by the device if None."""

    batch: Number = 1
    dtype: str | None = None

    task: ClassVar[str] = ""
    purpose: ClassVar[str] = "inference"
    """``inference`` or ``training``: stacks are for one, or for both."""
    delivers: ClassVar[str] = "token"
    """What :attr:`tokens_out` counts."""
    at_least: ClassVar[dict[str, int]] = {"batch": 1}

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, plain(getattr(self, item.name)))
        for name, least in self.at_least.items():
            check_whole(name, getattr(self, name), least)
        if self.dtype is not None:
            find_dtype(self.dtype)

    def replace(self: J, **changes: Any) -> J:
        """A copy with some fields changed.

        Raises
        ------
        InputError
            if there is no such field, or the value is refused.
        """
        known = [f.name for f in fields(self)]
        for name in changes:
            if name not in known:
                raise InputError(f"{type(self).__name__} has no {name}; it has {', '.join(known)}")
        return replace(self, **changes)

    def resolved(self: J, model: Model, device: Device) -> J:
        """The job with its number format settled: the stated one, else the model's own, else the device's best.

        Raises
        ------
        InputError
            if the device cannot multiply matrices in the stated format.
        """
        if self.dtype is not None:
            name = find_dtype(self.dtype).name
            if name not in device.formats and not (name == "fp32" and "tf32" in device.formats):
                known = ", ".join(device.formats) or "none"
                raise InputError(
                    f'dtype "{name}": device {device.key} has no matrix rate for it; it computes in {known}'
                )
            return replace(self, dtype=name)
        if not device.formats:
            raise InputError(
                f"device {device.key}: no source gives a rate for it; it can be listed but not used for predictions. "
                f'Write a TOML with base = "{device.key}" that states one'
            )
        wished = (model.dtype, "bf16", "fp16", "fp32", "int8")
        chosen = next((name for name in wished if name in device.formats), None)
        if chosen is None:
            known = ", ".join(device.formats)
            raise InputError(f"device {device.key} computes in {known}; choose one of them with dtype")
        return replace(self, dtype=chosen)

    @property
    def format(self) -> DType:
        """Number format that is computed in.

        Raises
        ------
        InputError
            if it is not settled yet.
        """
        if self.dtype is None:
            raise InputError("the number format of the job is not settled; call resolved() first, or state dtype")
        return find_dtype(self.dtype)

    def step(
        self, stack: Stack, *, tokens: Number, context: Number, decode: bool = False, source: Number = 0
    ) -> Step:
        """One pass of this job on ``stack``."""
        chosen = self.format
        return Step(
            self.batch,
            tokens,
            context,
            chosen,
            chosen,
            chosen,
            stack.attention,
            stack.block_tokens,
            decode,
            stack.all_logits,
            source,
        )

    def spread(self: J, *, data: int, pipeline: int, micro_batch: int, interleave: int) -> J:
        """The job of one of ``data`` replicas: its share of the batch, rounded up.

        pipeline: stages of a replica; micro_batch: samples per pass through them, 0 if not stated; interleave: parts of
        the network per stage.
        """
        if data == 1 or is_symbolic(self.batch) or is_array(self.batch):
            return self
        return self.replace(batch=ceil_div(self.batch, data))

    def conventions(self, model: Model) -> tuple[str, ...]:
        """How the work of this job with ``model`` is counted, one line each."""
        return model.conventions

    def largest_pass(self, replicas: int) -> int | None:
        """Most samples that a pass can hold, whatever fits [1]; None without such a limit."""
        return None

    @property
    def samples(self) -> Number:
        """Sequences or images that replicas share [1]: of one step, in training."""
        return self.batch

    def replicas_at_work(self, data: int) -> Number:
        """How many of ``data`` replicas get a share of the batch [1], if each takes as much as the first."""
        if data == 1 or is_symbolic(self.batch) or is_array(self.batch):
            return data
        return ceil_div(self.batch, ceil_div(self.batch, data))

    @abstractmethod
    def plan(self, model: Model, stack: Stack) -> Plan:
        """The phases that this job makes of ``model`` on ``stack``."""

    def finished(self, plan: Plan, stack: Stack) -> Plan:
        """The plan once all techniques have changed it; phases that follow from others are made here."""
        return plan

    @property
    def decode_steps(self) -> Number:
        """Output tokens that decode makes per sequence [1]: all but the first, which the prompt pass makes."""
        return 0

    @property
    def optimizer_steps(self) -> Number | None:
        """Updates of the weights [1]; None for jobs that train nothing."""
        return None

    @property
    @abstractmethod
    def tokens_out(self) -> Number:
        """Tokens (or samples) that the job delivers over all sequences [1]."""

    def sizes(self, model: Model) -> tuple[int, int | None]:
        """Parameters and multiply-accumulates per sample of ``model`` as this job uses it [1]."""
        return model.parameters, model.macs

    @property
    def text(self) -> str:
        """Fields that are stated, on one line."""
        return ", ".join(f"{name}={value}" for name, value in self._stated.items())

    @property
    def words(self) -> str:
        """The task and the fields that are stated, as in a title: ``prefill, batch 8, prompt tokens 512``."""
        return ", ".join([self.task, *(f"{name.replace('_', ' ')} {value}" for name, value in self._stated.items())])

    @property
    def _stated(self) -> dict[str, Any]:
        return {name: value for name, value in self.describe().items() if value is not None}

    def describe(self) -> dict[str, Any]:
        """Fields as plain data."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def check_whole(name: str, value: Any, least: int) -> None:
    """Refuse a number that is not whole, or out of range; symbols and arrays pass.

    Raises
    ------
    InputError
        that names the field.
    """
    if is_symbolic(value) or varies(value):
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name}={value!r}: expected a whole number, at least {least}")
    if value > 10**9:
        raise InputError(f"{name}={value!r}: expected at most 1e9")
