"""Networks that answer in one pass: what a single pass needs to know of them."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from perfsim.architectures.model import Model
from perfsim.graph import OperatorGraph

if TYPE_CHECKING:
    from perfsim.architectures.vision.counts import Counts
    from perfsim.architectures.vision.net import ImageStep

__all__ = ["ForwardModel"]


class ForwardModel(Model):
    """A network whose work is one pass over a batch of samples.

    image_size: pixels per side unless a job states another, None where it sees no images or any size.
    """

    image_size: Any
    family = "vision model"
    usual_task = "single-pass"
    fixed_size: ClassVar[bool] = False
    """Whether the network works on images of its own size only."""
    size_field: ClassVar[str] = "image_size"
    """Field of a single pass that states the size of a sample; ``frames`` where samples are recordings."""

    @abstractmethod
    def graph(self, step: ImageStep) -> OperatorGraph:
        """The graph of one forward pass."""

    @abstractmethod
    def counts(self, image_size: int | None = None) -> Counts:
        """Multiply-accumulates, activations and parameters of one sample."""
