"""What networks over sound share: spectra in, one after the other in time, and convolutions along the time alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.model import VisionModel
from perfsim.architectures.vision.net import Net
from perfsim.graph import Role

__all__ = ["AudioModel", "in_time", "statistics"]


def in_time(steps: int) -> tuple[int, int]:
    """A kernel, stride or dilation along the time: the first axis of a map, whose second one has size 1."""
    return steps, 1


@dataclass(frozen=True, kw_only=True)
class AudioModel(VisionModel):
    """A network over recordings: (batch, channels, frames, 1), so that every planner and kernel model sees plain maps.

    image_size: frames of a recording (``frames`` in a TOML) unless a job states another number
    (``SinglePass(frames=…)``); channels: spectral features per frame; classes: words, or entries of an embedding.
    """

    image_size: int = 100
    channels: int = 40

    family = "speech model"
    size_field: ClassVar[str] = "frames"
    conventions = (
        "macs are products of convolutions and projections and 2 per element of a batch norm, per recording",
        "a batch norm behind a convolution or projection is folded, one behind an activation stays an operator; "
        "parameters are those before folding",
        VisionModel.conventions[2],
    )
    outside = ("sampling sound, spectra and cepstral coefficients",)

    def given(self, net: Net) -> str:
        """The features of all frames."""
        shape = (net.step.batch, self.channels, net.step.image_size, 1)
        return net.builder.tensor("frames", shape, net.step.dtype, Role.INPUT)

    def shape(self) -> dict[str, int]:
        return {"frames": self.image_size, "features": self.channels, "classes": self.classes}


def statistics(net: Net, name: str, x: str, weights: str = "") -> tuple[str, str]:
    """Mean and standard deviation of each channel over the frames, each (batch, channels).

    weights: of the shape of ``x`` where frames count differently, else empty. The deviation is the root of the mean
    square less the squared mean, so all frames are read twice.

    References
    ----------
    .. [1] K. Okabe, T. Koshinaka, K. Shinoda, "Attentive Statistics Pooling for Deep Speaker Embedding",
       arXiv 1803.10963.
    """
    weighted = net.combine(f"{name}.weigh", x, weights, "multiply") if weights else x
    mean = net.global_pool(f"{name}.mean", weighted)
    squares = net.global_pool(f"{name}.mean_square", net.combine(f"{name}.square", weighted, x, "multiply"))
    return mean, net.combine(f"{name}.deviation", squares, mean, "combine")
