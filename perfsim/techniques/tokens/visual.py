"""Language models that see: an encoder, a projection, and visual tokens in the prompt."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import DecoderModel, VisionModel
from perfsim.errors import InputError
from perfsim.graph import OperatorGraph
from perfsim.quantities.dtypes import dtype as find_dtype
from perfsim.quantities.numbers import Number
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.tokens.prompts import has_prompt, projections, with_prompt
from perfsim.workloads import Decode, Job, Phase, Plan, SinglePass

__all__ = ["VisualTokens"]


@dataclass(frozen=True, kw_only=True)
class VisualTokens(PlanRewrite):
    """Every prompt begins with ``images`` images (or frames) of ``tokens`` tokens each; the prompt of the job is text.

    The ``encoder`` sees all images once, at ``resolution`` pixels per side, and lies beside the language model in
    memory; a projection of ``projection`` matrices brings its features to the width of the language model. Where an
    encoder makes more patches than ``tokens``, a compressor between them is taken to cost nothing: the encoder sees all
    of the image however few tokens come out. ``seen`` is the share of the images that the encoder has to look at, above
    1 where frames are scored by another pass before some of them are taken. Prefill, cache and the reads of every
    decode step grow with the visual tokens; the weights that decode reads do not shrink with them.

    References
    ----------
    .. [1] H. Liu et al., "LLaVA", arXiv 2304.08485. [2] K. Li et al., "Inference Optimal VLMs Need Only One Visual
       Token but Larger Models", arXiv 2411.03312.
    """

    encoder: str = parameter("vit-large-14-clip", "catalogue name of the vision encoder; empty for none", unit="name")
    tokens: int = parameter(576, "tokens per image in the prompt", least=0, most=10**6)
    images: int = parameter(1, "images or frames per prompt", least=0, most=10**6)
    resolution: int = parameter(0, "pixels per side for the encoder; 0: its own", unit="pixel", least=0, most=65536)
    projection: int = parameter(2, "matrices between encoder and language model", least=0, most=16)
    seen: float = parameter(1.0, "passes of the encoder per image", least=0.0, most=1e6)

    name = "visual-tokens"
    reference = "arXiv 2304.08485"
    neutral = {"images": 0}
    idempotent = False
    turn = 1

    def requires(self, plan: Plan, context: Context) -> str | None:
        if not isinstance(context.model, DecoderModel) or not has_prompt(plan.job):
            return "it is no language model with a prompt that visual tokens could be part of"
        if self.encoder and not isinstance(context.find_model(self.encoder), VisionModel):
            return f"{self.encoder} sees no images; use a vision model"
        return None

    def prepare(self, job: Job, context: Context) -> Job:
        return with_prompt(job, lambda text: text + self.tokens * self.images)

    def apply(self, plan: Plan, context: Context) -> Plan:
        if self.images == 0 or not self.encoder or isinstance(plan.job, Decode):
            return plan
        seeing = self._encoder(plan, context)
        batch = plan.job.batch
        if not self.projection or not self.tokens:
            return plan.replace(phases=(seeing, *plan.phases))
        bridge = Phase(
            "prefill/projection", self._bridge(plan, context, batch), 1, batch * self.images * self.tokens, batch,
            network="projection",
        )  # fmt: skip
        return plan.replace(phases=(seeing, bridge, *plan.phases))

    def _encoder(self, plan: Plan, context: Context) -> Phase:
        network, batch = context.find_model(self.encoder), plan.job.batch * self.images
        size = self.resolution or None
        looking = SinglePass(batch=batch, dtype=plan.job.dtype, image_size=size)
        try:
            (phase,) = looking.resolved(network, context.system.device).plan(network, context.stack).phases
        except InputError as error:
            raise InputError(f"{self.name}: encoder {self.encoder}: {error}") from None
        return replace(phase, name="prefill/encoder", network="encoder", share=self.seen, repeated=False)

    def _bridge(self, plan: Plan, context: Context, batch: Number) -> OperatorGraph:
        encoder, model = context.find_model(self.encoder), context.model
        assert isinstance(model, DecoderModel)
        widths = (getattr(encoder, "hidden", model.hidden), *(model.hidden,) * self.projection)
        return projections(batch, self.images * self.tokens, widths, find_dtype(plan.job.dtype or "fp16"), "projection")
