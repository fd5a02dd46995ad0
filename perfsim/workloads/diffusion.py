"""Images from noise: many passes of a denoiser, one of the decoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from perfsim.architectures import Denoiser, ImageStep, Model, VisionModel, expect
from perfsim.devices import Device, Stack
from perfsim.errors import InputError
from perfsim.graph import OperatorGraph
from perfsim.quantities.numbers import Number
from perfsim.workloads.frameworks import as_run
from perfsim.workloads.job import Job
from perfsim.workloads.plan import Phase, Plan

__all__ = ["Diffusion"]


def _denoiser(model: Model) -> Denoiser:
    return expect(Denoiser, model, "Diffusion", model.usual_task)  # type: ignore[type-abstract]


@dataclass(frozen=True, kw_only=True)
class Diffusion(Job):
    """``batch`` images of ``image_size`` pixels per side in ``steps`` steps, and their decoding into pixels.

    A guided model works on every image twice per step, with and without its text, in one pass of twice the batch:
    T = steps · t(denoiser, 2·batch) + t(decoder, batch). The text encoders are not part of the job.

    References
    ----------
    .. [1] J. Ho, T. Salimans, "Classifier-Free Diffusion Guidance", arXiv 2207.12598. [2] R. Rombach et al.,
       arXiv 2112.10752.
    """

    steps: Number = 20
    image_size: Number | None = None

    task: ClassVar[str] = "diffusion"
    delivers: ClassVar[str] = "image"
    at_least: ClassVar[dict[str, int]] = {"batch": 1, "steps": 1}

    def resolved(self, model: Model, device: Device) -> Diffusion:
        """The job with number format and image size settled."""
        settled = super().resolved(model, device)
        return settled if settled.image_size is not None else replace(settled, image_size=_denoiser(model).image_size)

    @property
    def tokens_out(self) -> Number:
        return self.batch

    def plan(self, model: Model, stack: Stack) -> Plan:
        """``denoise``, once per step, and ``pixels``, the decoder."""
        network = _denoiser(model)
        passes = 2 * self.batch if network.guided else self.batch
        denoise = Phase("denoise", self._graph(network, passes, stack), self.steps, self.batch, self.batch, True)
        decoder = network.decoder
        pixels = Phase(
            "pixels", self._graph(decoder, self.batch, stack), 1, self.batch, self.batch, network=decoder.name
        )  # fmt: skip
        return Plan(self, (denoise, pixels))

    def _graph(self, network: VisionModel, batch: Number, stack: Stack) -> OperatorGraph:
        chosen = self.format
        size = network.image_size if self.image_size is None else self.image_size
        try:
            return network.graph(ImageStep(batch, size, chosen, chosen, stack.attention))
        except InputError as error:
            raise InputError(f"image_size={size} for {network.name}: {error}") from None

    def finished(self, plan: Plan, stack: Stack) -> Plan:
        """With what the framework adds to the networks, as the techniques left them."""
        return plan.map_graphs(lambda graph: as_run(graph, stack))

    def sizes(self, model: Model) -> tuple[int, int | None]:
        """Parameters of the denoiser, and its multiply-accumulates for one pass over one image of this size [1]."""
        counts = _denoiser(model).counts(self.image_size)
        return counts.parameters, counts.macs
