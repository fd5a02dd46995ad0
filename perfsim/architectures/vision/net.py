"""Building blocks of vision networks on top of the graph builder: names, weights and number formats in one place."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from perfsim.graph import GraphBuilder, OperatorGraph, Role
from perfsim.ops import BatchNorm, Elementwise, GlobalPool, Join, Linear, Norm, Pool, Split, conv_kind
from perfsim.quantities.dtypes import DType
from perfsim.quantities.numbers import Number

__all__ = ["ImageStep", "Net", "PerAxis"]

PerAxis = int | tuple[int, ...]
"""One number for all spatial axes, or one per axis."""


@dataclass(frozen=True, eq=False)
class ImageStep:
    """What one pass works on.

    batch: images; image_size: pixels per side; dtype, weight_dtype: formats of features and weights; attention:
    ``naive`` stores the scores, anything else keeps them on chip; fold: whether a batch norm behind a convolution is
    folded into its weights, as every inference compiler does (the sums then start at a bias and the norm vanishes).
    """

    batch: Number
    image_size: Number
    dtype: DType
    weight_dtype: DType
    attention: str = "fused"
    fold: bool = True


class Net:
    """Collects the layers of one pass. Names are full tensor names; channels are axis 1, or the last one of tokens."""

    def __init__(self, step: ImageStep) -> None:
        self.step = step
        self.builder = GraphBuilder()

    def image(self, channels: int, aspect: float = 1.0) -> str:
        """The input (batch, channels, size, size · aspect)."""
        size = self.step.image_size
        shape = (self.step.batch, channels, size, size if aspect == 1 else round(size * aspect))
        return self.builder.tensor("image", shape, self.step.dtype, Role.INPUT)

    def block(self, name: str, count: int = 1) -> AbstractContextManager[None]:
        """A block that is repeated ``count`` times with equal shapes."""
        return self.builder.region(name, count)

    def finish(self) -> OperatorGraph:
        """The graph of what was built."""
        return self.builder.build()

    def weight(self, name: str, *shape: int) -> str:
        """A stored parameter."""
        return self.builder.weight(name, shape, self.step.weight_dtype)

    def channels(self, x: str) -> int:
        """Channels of a feature map or width of tokens."""
        shape = self.builder.shape(x)
        return int(shape[1] if len(shape) >= 4 else shape[-1])

    def per_axis(self, x: str, value: PerAxis) -> tuple[int, ...]:
        """``value`` for each spatial axis of a feature map."""
        return (value,) * (len(self.builder.shape(x)) - 2) if isinstance(value, int) else value

    def side(self, x: str) -> Number:
        """Rows of a feature map."""
        return self.builder.shape(x)[2]

    def conv(
        self, name: str, x: str, out: int, kernel: PerAxis = 1, stride: PerAxis = 1, *, groups: int = 1,
        padding: int | None = None, bias: bool = False, tokens: bool = False, dilation: PerAxis = 1,
    ) -> str:  # fmt: skip
        """Convolution to ``out`` channels; ``padding`` per end, by default half of what the kernel spans."""
        taps, steps, spread = self.per_axis(x, kernel), self.per_axis(x, stride), self.per_axis(x, dilation)
        width = self.channels(x)
        inputs: tuple[str, ...] = (x, self.weight(f"{name}.weight", groups, out // groups, width // groups, *taps))
        if bias:
            inputs = (*inputs, self.weight(f"{name}.bias", out))
        spans = zip(taps, spread, strict=True)
        pads = tuple(2 * ((k - 1) // 2 * apart if padding is None else padding) for k, apart in spans)
        kind = conv_kind(groups=groups, inputs=width, kernel=taps)
        y: str = self.builder.add(kind, name, inputs, stride=steps, padding=pads, dilation=spread, tokens=tokens)
        return y

    def conv_norm(
        self, name: str, x: str, out: int, kernel: PerAxis = 1, stride: PerAxis = 1, *, groups: int = 1,
        padding: int | None = None, act: str = "relu", bias: bool = False, dilation: PerAxis = 1,
    ) -> str:  # fmt: skip
        """Convolution, batch norm (folded into it or not), activation (``""`` for none)."""
        biased = bias or self.step.fold
        y = self.conv(name, x, out, kernel, stride, groups=groups, padding=padding, bias=biased, dilation=dilation)
        if not self.step.fold:
            y = self.batch_norm(f"{name}.norm", y)
        return self.act(f"{name}.act", y, act)

    def batch_norm(self, name: str, x: str) -> str:
        """A batch norm that stays an operator; its statistics are stored, but are no parameters."""
        width = self.channels(x)
        parameters = (self.weight(f"{name}.weight", width), self.weight(f"{name}.bias", width))
        statistics = tuple(
            self.builder.tensor(f"{name}.{part}", (width,), self.step.weight_dtype, Role.STATE)
            for part in ("mean", "variance")
        )
        y: str = self.builder.add(BatchNorm, name, (x, *parameters, *statistics))
        return y

    def layer_norm(self, name: str, x: str) -> str:
        """Layer norm over the channels, with scale and shift."""
        width = self.channels(x)
        inputs = (x, self.weight(f"{name}.weight", width), self.weight(f"{name}.bias", width))
        y: str = self.builder.add(Norm, name, inputs, function="layernorm")
        return y

    def act(self, name: str, x: str, function: str) -> str:
        """An element-wise function; ``""`` is none."""
        if not function:
            return x
        y: str = self.builder.add(Elementwise, name, (x,), function=function)
        return y

    def combine(self, name: str, x: str, other: str, function: str = "add") -> str:
        """Two tensors element by element; ``other`` may be smaller (gates, scales)."""
        y: str = self.builder.add(Elementwise, name, (x, other), function=function)
        return y

    def add(self, name: str, x: str, other: str, act: str = "") -> str:
        """Residual addition, and an activation."""
        return self.act(f"{name}.act", self.combine(f"{name}.add", x, other), act)

    def linear(self, name: str, x: str, out: int, bias: bool = True, flatten: bool = False) -> str:
        """Projection of the last axis to ``out``; ``flatten``: of all axes but the batch."""
        shape = tuple(int(n) for n in self.builder.shape(x)[1:]) if flatten else (self.channels(x),)
        weight = self.weight(f"{name}.weight", *shape, out)
        y: str = self.builder.add(Linear, name, (x, weight), contracted=len(shape))
        return self.combine(f"{name}.add_bias", y, self.weight(f"{name}.bias", out), "bias") if bias else y

    def pool(
        self, name: str, x: str, kernel: PerAxis = 2, stride: PerAxis = 2, *, padding: PerAxis = 0,
        function: str = "max", ceil_mode: bool = False,
    ) -> str:  # fmt: skip
        """Windowed pooling; ``padding`` per end."""
        ends = tuple(2 * end for end in self.per_axis(x, padding))
        y: str = self.builder.add(
            Pool, name, (x,), function=function, kernel=self.per_axis(x, kernel), stride=self.per_axis(x, stride),
            padding=ends, ceil_mode=ceil_mode,
        )  # fmt: skip
        return y

    def global_pool(self, name: str, x: str) -> str:
        """Mean over all positions: (batch, channels)."""
        tokens = len(self.builder.shape(x)) == 3
        y: str = self.builder.add(GlobalPool, name, (x,), tokens=tokens)
        return y

    def join(self, name: str, *parts: str) -> str:
        """Side by side along the channels."""
        y: str = self.builder.add(Join, name, parts)
        return y

    def split(self, name: str, x: str, sizes: tuple[int, ...]) -> tuple[str, ...]:
        """Parts of the channels of a feature map."""
        outputs = tuple(f"part{index}" for index in range(len(sizes)))
        parts: tuple[str, ...] = self.builder.add(Split, name, (x,), outputs=outputs, sizes=sizes)
        return parts

    def squeeze_excite(self, name: str, x: str, squeezed: int, act: str = "relu", gate: str = "sigmoid") -> str:
        """Channel gates from the mean of the map: pool, two projections, multiply (arXiv 1709.01507)."""
        y = self.global_pool(f"{name}.pool", x)
        y = self.act(f"{name}.act", self.linear(f"{name}.reduce", y, squeezed), act)
        y = self.act(f"{name}.gate", self.linear(f"{name}.expand", y, self.channels(x)), gate)
        return self.combine(f"{name}.multiply", x, y, "multiply")

    def classifier(self, x: str, classes: int, name: str = "head") -> str:
        """Global mean and one projection."""
        return self.linear(name, self.global_pool(f"{name}.pool", x), classes)
