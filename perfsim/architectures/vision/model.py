"""What all image classifiers share: an image in, logits out, published sizes that can be counted."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, ClassVar, TypeVar

from perfsim.architectures.forward import ForwardModel
from perfsim.architectures.vision.counts import Counts, counts_of
from perfsim.architectures.vision.net import ImageStep, Net
from perfsim.architectures.vision.scaling import Multipliers, check_multipliers, scaled_fields, scaled_number
from perfsim.errors import ConfigError, InputError
from perfsim.graph import OperatorGraph
from perfsim.quantities.dtypes import DTYPES

__all__ = ["VisionModel"]

V = TypeVar("V", bound="VisionModel")


@dataclass(frozen=True, kw_only=True)
class VisionModel(ForwardModel):
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
    width_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that hold channels; empty if the family has no width to scale."""
    depth_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that hold blocks; empty if the family has no depth to scale."""
    width_multiple: ClassVar[int] = 8
    """Scaled channels are rounded to it."""
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
        self.layers(net, self.given(net))
        return net.finish()

    def given(self, net: Net) -> str:
        """The input of a pass: square images, unless the family says otherwise."""
        return net.image(self.channels)

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

    def scaled(self: V, *, width: float = 1.0, depth: float = 1.0, resolution: float = 1.0) -> V:
        """The network with channels, blocks per stage and pixels per side multiplied [1], and rounded to whole ones.

        Raises
        ------
        InputError
            for a factor out of range, or one that the family cannot follow.

        References
        ----------
        .. [1] M. Tan, Q. Le, "EfficientNet", arXiv 1905.11946. [2] P. Dollár, M. Singh, R. Girshick, arXiv 2103.06877.
        """
        multipliers = Multipliers(width, depth, resolution)
        check_multipliers(self.name, multipliers)
        changes = {} if width == 1 else self._wider(width)
        changes |= {} if depth == 1 else self._deeper(depth)
        if resolution != 1:
            if self.fixed_size:
                size = f"{self.image_size} × {self.image_size}"
                raise InputError(f"{self.name}: resolution={resolution}: it works on {size} pixels only")
            changes["image_size"] = scaled_number(self.image_size, resolution)
        stated = ", ".join(f"{name} ×{value:g}" for name, value in vars(multipliers).items() if value != 1)
        return replace(self, **changes, name=f"{self.name} ({stated})") if stated else self

    def _wider(self, factor: float) -> dict[str, Any]:
        """Fields of the network with ``factor`` times the channels."""
        if not self.width_fields:
            raise InputError(f"{self.name}: width={factor}: this family has a fixed width; scale depth or resolution")
        return scaled_fields(self, self.width_fields, factor, self.width_multiple)

    def _deeper(self, factor: float) -> dict[str, Any]:
        """Fields of the network with ``factor`` times the blocks."""
        if not self.depth_fields:
            raise InputError(f"{self.name}: depth={factor}: this family has a fixed depth; scale width or resolution")
        return scaled_fields(self, self.depth_fields, factor)

    def shape(self) -> dict[str, int]:
        return {"image_size": self.image_size, "classes": self.classes}


@lru_cache(maxsize=512)
def _counts(model: VisionModel, image_size: int) -> Counts:
    fp32 = DTYPES["fp32"]
    return counts_of(model.graph(ImageStep(1, image_size, fp32, fp32, fold=False)))
