"""Pieces that encoders and encoder-decoders share: token and audio fronts, residual branches, stacks of layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from perfsim.architectures.full_attention import FullAttention
from perfsim.architectures.mlp import Mlp
from perfsim.architectures.step import Step
from perfsim.graph import GraphBuilder, Role
from perfsim.ops import Conv, Elementwise, Embedding, Norm
from perfsim.quantities.dtypes import DTYPES
from perfsim.quantities.numbers import Number

__all__ = ["AudioFront", "Normalisation", "Stack", "TokenFront"]


@dataclass(frozen=True)
class Normalisation:
    """Which norm, and where: ``first`` in front of each branch and behind the last layer, else behind each addition."""

    function: str = "layernorm"
    bias: bool = True
    first: bool = True

    def apply(self, b: GraphBuilder, step: Step, name: str, x: str) -> str:
        """Norm over the last axis."""
        parts = ("weight", "bias") if self.bias else ("weight",)
        weights = tuple(b.weight(f"{name}.{part}", (b.shape(x)[-1],), step.weight_dtype) for part in parts)
        y: str = b.add(Norm, name, (x, *weights), function=self.function)
        return y

    def branch(self, b: GraphBuilder, step: Step, x: str, name: str, inner: Callable[[str], str]) -> str:
        """``x`` plus what ``inner`` makes of it."""
        y = inner(self.apply(b, step, f"{name}_norm", x) if self.first else x)
        y = b.add(Elementwise, f"{name}_residual.add", (y, x), function="add")
        return y if self.first else self.apply(b, step, f"{name}_norm", y)


@dataclass(frozen=True)
class TokenFront:
    """Tables of tokens, of ``positions`` learned positions, and of ``types`` segment types; 0 for none.

    norm: whether a layer norm follows (post-norm models).
    """

    hidden: int
    vocabulary: int
    positions: int = 0
    types: int = 0
    norm: bool = False

    def build(self, b: GraphBuilder, step: Step, tokens: Number, name: str, table: str = "") -> tuple[str, str]:
        """Features (batch, tokens, hidden) and the name of the token table; ``table``: one that exists already."""
        x = ""
        for part, rows in (("embedding", self.vocabulary), ("positions", self.positions), ("types", self.types)):
            if not rows:
                continue
            ids = b.tensor(f"{name}{part}.ids", (step.batch, tokens), DTYPES["int32"], Role.INDEX)
            given = table if part == "embedding" else ""
            weight = given or b.weight(f"{name}{part}.weight", (rows, self.hidden), step.weight_dtype, 0)
            table = weight if part == "embedding" else table
            y = b.add(Embedding, f"{name}{part}", (ids, weight), dtype=step.dtype)
            x = b.add(Elementwise, f"{name}{part}.add", (x, y), function="add") if x else y
        return (Normalisation().apply(b, step, f"{name}embedding.norm", x) if self.norm else x), table


@dataclass(frozen=True)
class AudioFront:
    """Two 1-D convolutions over a spectrogram of ``bands``, the second of which halves it to ``positions``.

    References
    ----------
    .. [1] A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", arXiv 2212.04356.
    """

    hidden: int
    bands: int
    positions: int

    def build(self, b: GraphBuilder, step: Step) -> str:
        """Features (batch, positions, hidden) of one window of sound per sequence."""
        shape = (step.batch, self.bands, 2 * self.positions)
        x = b.tensor("spectrogram", shape, step.dtype, Role.INPUT)
        for index, (inputs, stride) in enumerate(((self.bands, 1), (self.hidden, 2)), start=1):
            weight = b.weight(f"encoder.conv{index}.weight", (1, self.hidden, inputs, 3), step.weight_dtype)
            bias = b.weight(f"encoder.conv{index}.bias", (self.hidden,), step.weight_dtype)
            x = b.add(
                Conv, f"encoder.conv{index}", (x, weight, bias), stride=(stride,), padding=(2,), dilation=(1,),
                tokens=index == 2,
            )  # fmt: skip
            x = b.add(Elementwise, f"encoder.conv{index}.act", (x,), function="gelu")
        places = b.weight("encoder.positions.weight", (self.positions, self.hidden), step.weight_dtype)
        y: str = b.add(Elementwise, "encoder.positions.add", (x, places), function="add")
        return y


@dataclass(frozen=True)
class Stack:
    """``count`` equal layers: attention, in a decoder attention to the encoder, feed-forward block.

    buckets: entries per head of a table of relative positions that all layers share, 0 for none.

    References
    ----------
    .. [1] A. Vaswani et al., arXiv 1706.03762. [2] C. Raffel et al., arXiv 1910.10683 (relative positions).
    """

    count: int
    attention: FullAttention
    mlp: Mlp
    norm: Normalisation
    buckets: int = 0

    def encode(self, b: GraphBuilder, step: Step, x: str, name: str = "layer") -> str:
        """Layers that see all of ``x``."""
        tables = self._tables(b, step, name)
        with b.region(name, self.count):
            x = self.norm.branch(b, step, x, "attention", lambda y: self.attention.within(b, step, y, tables))
            x = self._feed(b, step, x)
        return self.norm.apply(b, step, f"{name}.norm", x) if self.norm.first else x

    def decode(self, b: GraphBuilder, step: Step, x: str, source: str, positions: Number) -> str:
        """Layers that see what was written, and ``source``, the ``positions`` of an encoder."""
        tables = self._tables(b, step, "decoder_layer")
        with b.region("decoder_layer", self.count):
            x = self.norm.branch(b, step, x, "attention", lambda y: self.attention.behind(b, step, y, tables))
            x = self.norm.branch(b, step, x, "cross", lambda y: self.attention.across(b, step, y, source, positions))
            x = self._feed(b, step, x)
        return self.norm.apply(b, step, "decoder_layer.norm", x) if self.norm.first else x

    def _feed(self, b: GraphBuilder, step: Step, x: str) -> str:
        width = b.shape(x)[-1]
        return self.norm.branch(b, step, x, "mlp", lambda y: self.mlp.build(b, step, y, width))

    def _tables(self, b: GraphBuilder, step: Step, name: str) -> tuple[str, ...]:
        if not self.buckets:
            return ()
        shape = (self.buckets, self.attention.heads)
        return (b.weight(f"{name}.relative_positions", shape, step.weight_dtype, 1),)
