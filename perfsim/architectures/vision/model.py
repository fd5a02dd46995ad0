"""What all image classifiers share: an image in, logits out, published sizes that can be counted."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar

from perfsim.architectures.model import Model
from perfsim.architectures.vision.counts import Counts, counts_of
from perfsim.architectures.vision.net import ImageStep, Net
from perfsim.errors import ConfigError
from perfsim.graph import OperatorGraph
from perfsim.quantities.dtypes import DTYPES

__all__ = ["VisionModel"]


@dataclass(frozen=True, kw_only=True)
class VisionModel(Model):
    """An image classifier. A family adds its fields and says in :meth:`layers` how they become operators.

    name: for people and results; image_size: pixels per side unless a job states another; channels: of the image;
    classes: outputs; dtype, context_limit, remarks: as for every model.
    """

    name: str
    image_size: int = 224
    channels: int = 3
    classes: int = 1000
    dtype: str | None = None
    context_limit: int | None = None
    remarks: tuple[str, ...] = ()

    family = "vision model"
    usual_task = "single-pass"
    fixed_size: ClassVar[bool] = False
    """Whether the network works on images of its own size only."""
    choices: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = ()
    """Fields that hold one of a few words, and these words."""
    conventions = (
        "macs follow timm's tables: products of convolutions, projections and attention, 2 per element of a batch norm "
        "and 5 per element of a layer norm, per image",
        "a batch norm behind a convolution is folded into it, so it costs nothing; parameters are those before folding",
        "taps that lie on padding count as work, as kernels compute them",
    )
    outside = ("reading, decoding and resizing images",)

    def __post_init__(self) -> None:
        for field in ("image_size", "channels", "classes"):
            if getattr(self, field) < 1:
                raise ConfigError(f"{self.name}: {field}={getattr(self, field)}: expected at least 1")

    @abstractmethod
    def layers(self, net: Net, image: str) -> None:
        """Add all layers of the network behind ``image``."""

    def graph(self, step: ImageStep) -> OperatorGraph:
        """The graph of one forward pass."""
        net = Net(step)
        self.layers(net, net.image(self.channels))
        return net.finish()

    def counts(self, image_size: int | None = None) -> Counts:
        """Multiply-accumulates, activations and parameters for one image of a size, the model's own by default."""
        return _counts(self, image_size or self.image_size)

    @cached_property
    def parameters(self) -> int:
        """All stored parameters [1], batch norms before folding, without their statistics."""
        return self.counts().parameters

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image of the model's own size [1], in timm's convention."""
        return self.counts().macs

    def shape(self) -> dict[str, int]:
        return {"image_size": self.image_size, "classes": self.classes}


@lru_cache(maxsize=512)
def _counts(model: VisionModel, image_size: int) -> Counts:
    fp32 = DTYPES["fp32"]
    return counts_of(model.graph(ImageStep(1, image_size, fp32, fp32, fold=False)))
