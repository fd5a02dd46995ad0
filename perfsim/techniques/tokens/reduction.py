"""Layers that see fewer tokens than those before them: the edit that pruning and merging share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from perfsim.errors import GraphError
from perfsim.graph import Operator, OperatorGraph, Role, Shape, Tensor
from perfsim.graph.edit import reshaped
from perfsim.graph.regions import carried, split_region
from perfsim.ops import FusedAttention, Scores, ToBlocks, ToMap, ToWindows
from perfsim.ops.tokens import ReduceTokens, RestoreTokens, TokenScores
from perfsim.quantities.numbers import Number, ceil_div, maximum

__all__ = [
    "SCORES", "Scoring", "inserted", "reduce_tokens", "token_layers", "token_problem", "token_regions", "whole_tokens",
]  # fmt: skip


@dataclass(frozen=True)
class Scoring:
    """How tokens are ranked.

    queries: per token, products over the width of the stream [1]; pairs: the same per pair of tokens; predictor:
    weights over the width squared [1]; matched: whether the pairs are those between two halves.
    """

    queries: float = 0.0
    pairs: float = 0.0
    predictor: float = 0.0
    matched: bool = False

    def per_token(self, width: int) -> float:
        """Arithmetic per token [FLOP]: two per multiply-accumulate."""
        return 2 * (self.queries * width + self.predictor * width**2)

    def per_pair(self, width: int) -> float:
        """Arithmetic per pair [FLOP]."""
        return 2 * self.pairs * width


SCORES: Mapping[str, Scoring] = {
    "none": Scoring(),
    "class-attention": Scoring(queries=1),
    "predictor": Scoring(predictor=1.625),
    "pairwise": Scoring(pairs=1),
    "matching": Scoring(pairs=1, matched=True),
}
"""Ways to rank tokens. class-attention: the scores of one query, once more (EViT); predictor: projections of width to
1, 1/2 and 1/8 of it (DynamicViT: 1 + 1/2 + 1/8 weights over width²); pairwise: all similarities (Turbo); matching:
similarities between two halves (ToMe, whose mean of the heads' keys is cheaper by the number of heads)."""


PLACED = (ToBlocks, ToMap, ToWindows)
"""Operators that need every token in its place on a map."""


def whole_tokens(tokens: Number) -> Number:
    """The smallest whole number of tokens that is not below ``tokens``, rounding errors aside; at least 1."""
    return maximum(ceil_div(tokens - 1e-6, 1), 1)


def token_regions(graph: OperatorGraph) -> tuple[str, ...]:
    """Repeated layers, in order, that attend among all tokens of one stream: those of the first such region."""
    found: list[str] = []
    length: Number = None
    for region in graph.regions:
        queries = [graph.tensors[op.inputs[0]].shape for op in _sites(graph) if op.region == region]
        stream = _stream(graph, region) if queries else ()
        placed = any(op.region == region and isinstance(op, PLACED) for op in graph.operators)
        if placed or len(stream) != 3 or any(not _same(q[0], stream[0]) for q in queries):
            continue
        if any(_same(q[1], stream[1]) for q in queries) and (not found or _same(length, stream[1])):
            length = stream[1]
            found.append(region)
    return tuple(found)


def _stream(graph: OperatorGraph, region: str) -> Shape:
    try:
        return graph.tensors[carried(graph, region)[0]].shape
    except GraphError:
        return ()


def _same(first: Number, second: Number) -> bool:
    """Whether two sizes are one; sizes that vary are compared by identity."""
    return first is second or (isinstance(first, int | float) and isinstance(second, int | float) and first == second)


def token_layers(graph: OperatorGraph) -> int:
    """Layers that attend among tokens of one stream."""
    return int(sum(graph.regions[region] for region in token_regions(graph)))


def token_problem(graph: OperatorGraph, restored: bool = False) -> str | None:
    """Why the layers of a graph cannot go on with fewer tokens, or None.

    restored: whether all tokens are back behind the layers.
    """
    regions = token_regions(graph)
    if not regions:
        return "none of its repeated layers attends among all tokens of a sequence"
    behind = tuple(graph.regions)[tuple(graph.regions).index(regions[-1]) + 1 :]
    if behind and not restored:
        return f'its layers "{behind[0]}" need all tokens of those in front of them'
    return None


def _sites(graph: OperatorGraph) -> tuple[FusedAttention | Scores, ...]:
    return tuple(op for op in graph.operators if isinstance(op, FusedAttention | Scores))


def reduce_tokens(
    graph: OperatorGraph, schedule: Sequence[tuple[int, Callable[[Number], Number]]], scoring: Scoring, *,
    merged: bool = False, joined: int = 1, restored: bool = False,
) -> OperatorGraph:  # fmt: skip
    """The graph whose layers go on with fewer tokens.

    schedule: layer in front of which tokens go, counted from 0 over all layers that attend among tokens, and how many
    stay of how many; one entry per layer, in order. joined: sequences that become one each time, with all their
    tokens; restored: whether all tokens are back behind the last layer, in order.
    """
    parts, graph = _parts(graph, [layer for layer, _ in schedule])
    rules, source = dict(schedule), carried(graph, parts[0][0])[0]
    operators, tensors = list(graph.operators), dict(graph.tensors)
    full = present = graph.tensors[source].shape[1]
    gone: dict[str, Number] = {}
    for region, start in parts:
        if start in rules:
            entering = carried(graph, region)[0]
            present = rules[start](present * joined)
            made, added = _reduction(graph.tensors[entering], region, scoring, present, merged, joined)
            tensors |= {tensor.name: tensor for tensor in added}
            operators = inserted(operators, made, region, entering)
        gone[region] = full - present
    operators = [_shorter(op, gone) for op in operators]
    tensors |= {t.name: _cache(t, gone) for t in tensors.values() if t.region in gone}
    if restored:
        leaving = tensors[carried(graph, parts[-1][0])[1]]
        tensors[f"{leaving.name}.restored"] = leaving.replace(name=f"{leaving.name}.restored", region="")
        operators = _restored(operators, source, leaving.name, parts[-1][0])
    return reshaped(replace(graph, operators=tuple(operators), tensors=tensors))


def _parts(graph: OperatorGraph, cuts: Sequence[int]) -> tuple[list[tuple[str, int]], OperatorGraph]:
    """Regions that begin at every cut, with their first layer."""
    parts, start = list[tuple[str, int]](), 0
    for region in token_regions(graph):
        count = int(graph.regions[region])
        edges = [start, *(cut for cut in cuts if start < cut < start + count), start + count]
        lengths = [after - first for first, after in pairwise(edges)]
        graph = split_region(graph, region, lengths)
        names = [region] if len(lengths) == 1 else [f"{region}.{index}" for index in range(len(lengths))]
        parts += list(zip(names, edges, strict=False))
        start += count
    return parts, graph


def _restored(operators: list[Operator], source: str, leaving: str, region: str) -> list[Operator]:
    """All tokens in order again behind a region, whose readers take them."""
    last = max(index for index, op in enumerate(operators) if op.region == region)
    output = f"{leaving}.restored"
    back = RestoreTokens(f"{region}.tokens.restore", (source, leaving), (output,))
    readers = (
        replace(op, inputs=tuple(output if n == leaving else n for n in op.inputs)) for op in operators[last + 1 :]
    )
    return [*operators[: last + 1], back, *readers]


def _reduction(
    source: Tensor, region: str, scoring: Scoring, kept: Number, merged: bool, joined: int
) -> tuple[list[Operator], list[Tensor]]:
    name, width = f"{region}.tokens", int(source.shape[-1])
    scores = source.replace(name=f"{name}.scores", shape=(), region="")
    fewer = source.replace(name=f"{name}.kept", shape=(), region="")
    added, weights = [scores, fewer], tuple[str, ...]()
    if scoring.predictor:
        shape = (width, int(scoring.predictor * width))
        added.append(source.replace(name=f"{name}.predictor", shape=shape, role=Role.WEIGHT, region=""))
        weights = (added[-1].name,)
    rank = TokenScores(
        f"{name}.score", (source.name, *weights), (scores.name,), "", scoring.per_token(width), scoring.per_pair(width),
        scoring.matched,
    )  # fmt: skip
    reduce = ReduceTokens(f"{name}.reduce", (source.name, scores.name), (fewer.name,), "", kept, merged, joined)
    return [rank, reduce], added


def inserted(operators: list[Operator], made: list[Operator], region: str, entering: str) -> list[Operator]:
    """``made`` in front of a region, whose operators read its result instead of ``entering``."""
    first = next(index for index, op in enumerate(operators) if op.region == region)
    fewer = made[-1].outputs[0]

    def moved(op: Operator) -> Operator:
        if op.region != region or entering not in op.inputs:
            return op
        return replace(op, inputs=tuple(fewer if name == entering else name for name in op.inputs))

    return [*operators[:first], *made, *(moved(op) for op in operators[first:])]


def _shorter(op: Operator, gone: Mapping[str, Number]) -> Operator:
    if not isinstance(op, FusedAttention | Scores) or op.region not in gone:
        return op
    return replace(op, context=op.context - gone[op.region])


def _cache(tensor: Tensor, gone: Mapping[str, Number]) -> Tensor:
    if tensor.role is not Role.KV_CACHE or len(tensor.shape) != 4:
        return tensor
    batch, stored, *rest = tensor.shape
    return tensor.replace(shape=(batch, maximum(stored - gone[tensor.region], 1), *rest))
