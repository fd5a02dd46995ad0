"""One forward pass over a batch of images, texts or recordings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from perfsim.architectures import EncoderModel, ForwardModel, ImageStep, Model, expect
from perfsim.devices import Device, Stack
from perfsim.errors import InputError
from perfsim.quantities.numbers import Number, is_array, is_symbolic
from perfsim.workloads.frameworks import as_run
from perfsim.workloads.job import Job, check_whole
from perfsim.workloads.plan import Phase, Plan

__all__ = ["SinglePass"]


def _vision_model(model: Model, job: Job) -> ForwardModel:
    return expect(ForwardModel, model, type(job).__name__, "Prefill")  # type: ignore[type-abstract]


_SIZES = ("image_size", "sequence", "frames")
"""Fields that say how large a sample is; a model knows one of them."""


def _own_size(model: Model) -> tuple[str, Any]:
    """The field of the job that a model reads, and its value unless stated."""
    if isinstance(model, EncoderModel):
        return "sequence", model.context_limit or 512
    return (model.size_field, model.image_size) if isinstance(model, ForwardModel) else ("image_size", None)


@dataclass(frozen=True, kw_only=True)
class SinglePass(Job):
    """``batch`` images, texts or recordings through the network, batch after batch, from device memory.

    image_size: pixels per side, the model's own if None; sequence: tokens per text, the most that the model can see if
    None; frames: spectra per recording, the model's own if None; fold_batch_norm: whether batch norms are folded into
    the convolutions in front of them, as inference compilers do, or stay operators, as in a framework that runs the
    model as trained; None: as the stack does it.
    """

    image_size: Number | None = None
    sequence: Number | None = None
    frames: Number | None = None
    fold_batch_norm: bool | None = None

    task: ClassVar[str] = "single-pass"

    @property
    def delivers(self) -> str:  # type: ignore[override]
        """What comes out: images, texts, or recordings."""
        if self.frames is not None:
            return "recording"
        return "image" if self.sequence is None else "text"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("sequence", "frames"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), 1)
        size = self.image_size
        if size is None or is_symbolic(size) or is_array(size):
            return
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 2**16:
            raise InputError(f"image_size={size!r}: expected a whole number of pixels per side, 1 to {2**16}")

    def resolved(self, model: Model, device: Device) -> SinglePass:
        """The job with number format and size of the input settled."""
        settled = super().resolved(model, device)
        own, usual = _own_size(model)
        for name in _SIZES:
            value = getattr(settled, name)
            if name != own and value is not None:
                hint = "leave it out" if own == "image_size" else f"state {own}"
                raise InputError(f"{name}={value}: {model.name} is a {model.family}; {hint}")
        return settled if usual is None or getattr(settled, own) is not None else replace(settled, **{own: usual})

    @property
    def tokens_out(self) -> Number:
        return self.batch

    def _size(self, model: ForwardModel) -> Number:
        stated: Number | None = getattr(self, model.size_field)
        size = model.image_size if stated is None else stated
        if model.fixed_size and size != model.image_size:
            raise InputError(
                f"image_size={size}: {model.name} works on {model.image_size} × {model.image_size} pixels only"
            )
        return size

    def plan(self, model: Model, stack: Stack) -> Plan:
        """One phase, ``forward``."""
        if isinstance(model, EncoderModel):
            text = model.graph(self.step(stack, tokens=self.sequence, context=self.sequence))
            return Plan(self, (Phase("forward", text, 1, self.batch * self.sequence, self.batch, True),))
        network = _vision_model(model, self)
        size, chosen = self._size(network), self.format
        fold = not stack.keeps_batch_norm if self.fold_batch_norm is None else self.fold_batch_norm
        step = ImageStep(self.batch, size, chosen, chosen, stack.attention, fold)
        try:
            graph = network.graph(step)
        except InputError as error:
            raise InputError(f"{network.size_field}={size} for {network.name}: {error}") from None
        return Plan(self, (Phase("forward", graph, 1, self.batch, self.batch, True),))

    def finished(self, plan: Plan, stack: Stack) -> Plan:
        """With what the framework adds to a vision network, as the techniques left it."""
        return plan if self.sequence is not None else plan.map_graphs(lambda graph: as_run(graph, stack))

    def sizes(self, model: Model) -> tuple[int, int | None]:
        """Parameters and multiply-accumulates of one sample of this size [1], in the convention of timm's tables."""
        if isinstance(model, EncoderModel):
            return super().sizes(model)
        network = _vision_model(model, self)
        counts = network.counts(getattr(self, network.size_field))
        return counts.parameters, counts.macs
