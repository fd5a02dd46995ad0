"""Time-delay networks for speaker recognition: x-vectors, ECAPA-TDNN and the subnets of EfficientTDNN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.vision.audio import AudioModel, in_time, statistics
from perfsim.architectures.vision.net import Net
from perfsim.errors import ConfigError
from perfsim.ops import Softmax

__all__ = ["EcapaTdnn", "TimeDelayNet"]


@dataclass(frozen=True, kw_only=True)
class TimeDelayNet(AudioModel):
    """Convolutions along the time without padding, mean and deviation over the frames, projections.

    widths, kernels, dilations: of each convolution; hidden: widths of the projections before the last one; classes:
    entries of the embedding. The batch norms behind the activations scale nothing that is learned, and as nothing is
    padded they fold into the layer behind them without rest, so they are left out.

    References
    ----------
    .. [1] D. Snyder et al., "X-vectors: Robust DNN Embeddings for Speaker Recognition", ICASSP 2018, table 1.
    """

    image_size: int = 300
    channels: int = 24
    classes: int = 512
    widths: tuple[int, ...] = (512, 512, 512, 512, 1500)
    kernels: tuple[int, ...] = (5, 3, 3, 1, 1)
    dilations: tuple[int, ...] = (1, 2, 3, 1, 1)
    hidden: tuple[int, ...] = ()

    width_fields: ClassVar[tuple[str, ...]] = ("widths",)

    def layers(self, net: Net, image: str) -> None:
        """Frames, statistics, segment.

        Raises
        ------
        ConfigError
            if the lists differ in length.
        """
        if not len(self.widths) == len(self.kernels) == len(self.dilations):
            raise ConfigError(f"{self.name}: expected as many widths as kernels and dilations")
        x = image
        for index, (width, taps, apart) in enumerate(zip(self.widths, self.kernels, self.dilations, strict=True), 1):
            kernel, dilation = in_time(taps), in_time(apart)
            x = net.conv(f"frame{index}", x, width, kernel, dilation=dilation, padding=0, bias=True)
            x = net.act(f"frame{index}.act", x, "relu")
        x = net.join("statistics.join", *statistics(net, "statistics", x))
        for index, width in enumerate(self.hidden, 1):
            x = net.act(f"segment{index}.act", net.linear(f"segment{index}", x, width), "relu")
        net.linear("embedding", x, self.classes)


@dataclass(frozen=True, kw_only=True)
class EcapaTdnn(AudioModel):
    """Blocks of dilated convolutions over eighths of the channels, all joined, pooled by attention over the frames.

    width: channels of the first layer and of what every block adds; inner: channels inside each block; kernels: taps
    of the first layer and of each block; the blocks' taps lie 2, 3, 4, … frames apart; scale: parts that a block
    cuts its channels into; squeezed: channels of a block's gate, 0 for a quarter of ``width``; aggregate: channels of
    the layer over all joined blocks; attention: channels of the attention; context: whether the attention also sees
    mean and deviation of the whole recording; bias: whether convolutions have one; classes: entries of the embedding.

    Batch norms stand behind the activations and in front of padded convolutions, so they stay operators under every
    stack; only the last one folds.

    References
    ----------
    .. [1] B. Desplanques, J. Thienpondt, K. Demuynck, "ECAPA-TDNN", arXiv 2005.07143, figure 2.
    .. [2] R. Wang et al., "EfficientTDNN", arXiv 2103.13581.
    """

    image_size: int = 200
    channels: int = 80
    classes: int = 192
    width: int = 512
    inner: tuple[int, ...] = (512, 512, 512)
    kernels: tuple[int, ...] = (5, 3, 3, 3)
    scale: int = 8
    squeezed: int = 128
    aggregate: int = 1536
    attention: int = 128
    context: bool = True
    bias: bool = True

    width_fields: ClassVar[tuple[str, ...]] = ("width", "inner", "aggregate")
    width_multiple: ClassVar[int] = 8

    def layers(self, net: Net, image: str) -> None:
        """First layer, blocks that each see the sum of all before, aggregation, pooling, embedding.

        Raises
        ------
        ConfigError
            if there is not one kernel more than blocks, or ``scale`` does not divide a block's channels.
        """
        if len(self.kernels) != len(self.inner) + 1 or any(width % self.scale for width in self.inner):
            raise ConfigError(
                f"{self.name}: expected one kernel for the first layer and one per block, and blocks of multiples of "
                f"{self.scale} channels"
            )
        total = self._layer(net, "first", image, self.width, self.kernels[0])
        outputs: list[str] = []
        for index, (inner, taps) in enumerate(zip(self.inner, self.kernels[1:], strict=True)):
            if outputs:
                total = net.combine(f"sum{index}", total, outputs[-1])
            with net.block(f"block{index}"):
                outputs.append(self._block(net, total, inner, taps, index + 2))
        x = net.conv("aggregate", net.join("joined", *outputs), self.aggregate, bias=self.bias)
        x = self._pooled(net, net.act("aggregate.act", x, "relu"))
        y = net.linear("embedding", net.batch_norm("pool.norm", x), self.classes)
        if not net.step.fold:
            net.batch_norm("embedding.norm", y)

    def _layer(self, net: Net, name: str, x: str, out: int, taps: int = 1, apart: int = 1) -> str:
        y = net.conv(name, x, out, in_time(taps), dilation=in_time(apart), bias=self.bias)
        return net.batch_norm(f"{name}.norm", net.act(f"{name}.act", y, "relu"))

    def _block(self, net: Net, x: str, inner: int, taps: int, apart: int) -> str:
        y = self._layer(net, "reduce", x, inner)
        parts = net.split("split", y, (inner // self.scale,) * self.scale)
        made: list[str] = []
        for index, part in enumerate(parts[:-1]):
            given = net.combine(f"branch{index}.add", part, made[-1]) if made else part
            made.append(self._layer(net, f"branch{index}", given, inner // self.scale, taps, apart))
        y = self._layer(net, "expand", net.join("join", *made, parts[-1]), self.width)
        y = net.squeeze_excite("gate", y, self.squeezed or self.width // 4)
        return net.combine("residual", y, x)

    def _pooled(self, net: Net, x: str) -> str:
        """Mean and deviation over the frames, weighted by an attention of its own for each channel."""
        seen = net.join("attention.context", x, *statistics(net, "attention.global", x)) if self.context else x
        y = net.act("attention.act", net.conv("attention.reduce", seen, self.attention, bias=self.bias), "tanh")
        y = net.conv("attention.expand", y, self.aggregate, bias=self.bias)
        weights: str = net.builder.add(Softmax, "attention.softmax", (y,))
        return net.join("pool.join", *statistics(net, "pool", x, weights))
