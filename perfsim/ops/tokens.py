"""Fewer tokens: scores by which they are ranked or matched, and the shorter sequence."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensor, Tensors, Unit, Work
from perfsim.quantities.numbers import Number, ceil_div

__all__ = ["ReduceTokens", "RestoreTokens", "TokenScores"]


@dataclass(frozen=True, eq=False)
class TokenScores(Operator):
    """What tokens (batch, tokens, width) are worth, or how alike they are.

    per_token, per_pair: arithmetic of one token and of one pair [FLOP]; matched: whether the pairs are those between
    two halves of the tokens, whose scores are kept: (batch, ⌈tokens/2⌉, ⌊tokens/2⌋); else the pairs are all and one
    score per token is kept. A second input is the weights of a predictor.

    References
    ----------
    .. [1] D. Bolya et al., "Token Merging", arXiv 2210.09461: bipartite matching. [2] Y. Rao et al., "DynamicViT",
       arXiv 2106.02034: predictor. [3] Y. Liang et al., "EViT", arXiv 2202.07800: attention of the class token.
    """

    per_token: Number = 0
    per_pair: Number = 0
    matched: bool = False

    kind = "token-scores"
    unit = Unit.TENSOR
    reference = "arXiv 2210.09461"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, tokens, _ = tensors[self.inputs[0]].shape
        rows, columns = self._pairs(tokens)
        return ((batch, rows, columns) if self.matched else (batch, tokens, 1),)

    def _pairs(self, tokens: Number) -> tuple[Number, Number]:
        rows = ceil_div(tokens, 2) if self.matched else tokens
        return rows, (tokens - rows if self.matched else tokens)

    def work(self, tensors: Tensors) -> Work:
        """batch·(tokens·per_token + rows·columns·per_pair) [FLOP]."""
        batch, tokens, _ = tensors[self.inputs[0]].shape
        rows, columns = self._pairs(tokens)
        flops = batch * (tokens * self.per_token + rows * columns * self.per_pair)
        return Work(flops, self.unit, self.compute_dtype(tensors))


@dataclass(frozen=True, eq=False)
class ReduceTokens(Operator):
    """(batch, tokens, width), scores → (batch / joined, kept, width).

    merged: whether the tokens that go are added to those that stay, else they are dropped; joined: consecutive
    sequences, e.g. frames of a video, that become one.

    References
    ----------
    .. [1] D. Bolya et al., "Token Merging", arXiv 2210.09461.
    """

    kept: Number = 1
    merged: bool = False
    joined: int = 1

    kind = "reduce-tokens"
    reference = "arXiv 2210.09461"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        batch, _, width = tensors[self.inputs[0]].shape
        return ((batch if self.joined == 1 else ceil_div(batch, self.joined), self.kept, width),)

    def work(self, tensors: Tensors) -> Work:
        """One addition per element that is merged, one comparison per score [FLOP]."""
        source, (batch, kept, width) = tensors[self.inputs[0]], self.output_shapes(tensors)[0]
        merged = source.elements - batch * kept * width if self.merged else 0
        return Work(merged + tensors[self.inputs[1]].elements, self.unit, self.compute_dtype(tensors))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """Of the tokens only those that stay are read if nothing is merged [byte]."""
        if tensor.name != self.inputs[0] or self.merged:
            return tensor.nbytes
        return tensors[self.outputs[0]].nbytes


@dataclass(frozen=True, eq=False)
class RestoreTokens(Operator):
    """Tokens that went around some layers and those that went through, in order again.

    inputs: all tokens as they were, the tokens that went through; output: as the first. The second is added into
    the first, the others are not touched.

    References
    ----------
    .. [1] D. Raposo et al., "Mixture-of-Depths", arXiv 2404.02258.
    """

    kind = "restore-tokens"
    reference = "arXiv 2404.02258"

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def work(self, tensors: Tensors) -> Work:
        """One multiplication by the router's weight per element that went through [FLOP]."""
        return Work(tensors[self.inputs[1]].elements, self.unit, self.compute_dtype(tensors))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """Only the rows that went through are written, in place; the others stay where they are [byte]."""
        return tensors[self.inputs[1]].nbytes if tensor.name in self.outputs else (
            0 if tensor.name == self.inputs[0] else tensor.nbytes
        )
