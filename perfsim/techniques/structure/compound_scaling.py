"""Growing a vision network: one factor of work, shared out to width, depth and resolution."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.architectures import Model
from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.scaling import compound_scaling
from perfsim.techniques.base import Context, ModelRewrite, parameter

__all__ = ["CompoundScaling"]


@dataclass(frozen=True, kw_only=True)
class CompoundScaling(ModelRewrite):
    """The network with ``growth`` times the work: ``width_share`` of log(growth) goes to the channels.

    Depth and resolution get halves of the rest. Work is proportional to depth, width² and resolution², activations to
    depth, width and resolution², so that wide networks move fewer bytes for the same work: growth^(1 − width_share/2)
    times as many. Channels, blocks and pixels are rounded to whole ones, so the work is met roughly.

    References
    ----------
    .. [1] P. Dollár, M. Singh, R. Girshick, "Fast and Accurate Model Scaling", arXiv 2103.06877.
    """

    growth: float = parameter(1.0, "work over that of the network", least=0.01, most=1000.0)
    width_share: float = parameter(0.8, "part of the growth that widening makes, by logarithm", least=0.0, most=1.0)

    name = "compound-scaling"
    reference = "arXiv 2103.06877"
    idempotent = False
    neutral = {"growth": 1.0}

    def refuses(self, model: Model, context: Context) -> str | None:
        return None if isinstance(model, VisionModel) else f"it is a {model.family}; use a vision network"

    def remodelled(self, model: Model, context: Context) -> Model:
        assert isinstance(model, VisionModel)
        factors = compound_scaling(growth=self.growth, width_share=self.width_share)
        return model.scaled(width=factors.width, depth=factors.depth, resolution=factors.resolution)
