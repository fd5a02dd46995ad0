"""Layers that see fewer tokens than those before them: the edit that pruning and merging share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.edit import reshaped
from perfsim.graph.regions import carried, split_region
from perfsim.ops import FusedAttention, Scores
from perfsim.ops.tokens import ReduceTokens, TokenScores
from perfsim.quantities.numbers import Number, ceil_div, maximum

__all__ = ["SCORES", "Scoring", "reduce_tokens", "token_layers", "token_problem", "whole_tokens"]


@dataclass(frozen=True)
class Scoring:
    """How tokens are ranked: arithmetic per token and per pair, over the width of the stream [FLOP].

    matched: whether halves of the tokens are matched, and merged; predictor: weights over the width squared [1].
    """

    per_token: Callable[[int], float] = lambda width: 0
    per_pair: Callable[[int], float] = lambda width: 0
    matched: bool = False
    predictor: float = 0.0


SCORES: Mapping[str, Scoring] = {
    "none": Scoring(),
    "class-attention": Scoring(per_token=lambda width: 2 * width),
    "predictor": Scoring(per_token=lambda width: 2 * 1.625 * width**2, predictor=1.625),
    "pairwise": Scoring(per_pair=lambda width: 2 * width),
    "matching": Scoring(per_pair=lambda width: 2 * width, matched=True),
}
"""Ways to rank tokens. class-attention: the scores of one query, once more (EViT); predictor: projections of width to
1, 1/2 and 1/8 of it (DynamicViT: 1 + 1/2 + 1/8 weights over width²); pairwise: all similarities (Turbo); matching:
similarities between two halves (ToMe, which takes the mean of the heads' keys and is cheaper by the number of heads)."""


def whole_tokens(tokens: Number) -> Number:
    """The smallest whole number of tokens that is not below ``tokens``, rounding errors aside; at least 1."""
    return maximum(ceil_div(tokens - 1e-6, 1), 1)


def token_layers(graph: OperatorGraph) -> int:
    """Repeated layers of a graph, over all regions."""
    return int(sum(graph.regions.values()))


def token_problem(graph: OperatorGraph) -> str | None:
    """Why the layers of a graph cannot go on with fewer tokens, or None."""
    if not graph.regions:
        return "it has no repeated layers"
    streams, lengths = set(), list[Number]()
    for region in graph.regions:
        sites = [op for op in _sites(graph) if op.region == region]
        if not sites:
            return f'the layers "{region}" have no attention among tokens'
        streams |= {len(graph.tensors[name].shape) for name in carried(graph, region)}
        entering = graph.tensors[carried(graph, region)[0]].shape
        lengths.append(entering[1])
        if any(graph.tensors[op.inputs[0]].shape[0] is not entering[0] for op in sites):
            return "its tokens are cut into windows"
    if streams != {3}:
        return "its layers pass on maps, not tokens"
    same = all(length is lengths[0] or str(length) == str(lengths[0]) for length in lengths)
    return None if same else "some of its layers work on other tokens than the first ones"


def _sites(graph: OperatorGraph) -> tuple[FusedAttention | Scores, ...]:
    return tuple(op for op in graph.operators if isinstance(op, FusedAttention | Scores))


def reduce_tokens(
    graph: OperatorGraph, schedule: Sequence[tuple[int, Callable[[Number], Number]]], scoring: Scoring, *,
    merged: bool = False, joined: int = 1,
) -> OperatorGraph:  # fmt: skip
    """The graph whose layers go on with fewer tokens.

    schedule: layer in front of which tokens go, counted from 0 over all regions, and how many stay of how many; one
    entry per layer, in order. joined: sequences that become one each time, with all their tokens.
    """
    parts, graph = _parts(graph, [layer for layer, _ in schedule])
    rules = dict(schedule)
    operators, tensors = list(graph.operators), dict(graph.tensors)
    tokens: Number | None = None
    before: dict[str, Number] = {}
    now: dict[str, Number] = {}
    for region, start in parts:
        entering = carried(graph, region)[0]
        full = graph.tensors[entering].shape[1]
        tokens = full if tokens is None else tokens
        if start in rules:
            present = tokens * joined
            tokens = rules[start](present)
            made, added = _reduction(graph.tensors[entering], region, scoring, tokens, merged, joined)
            tensors |= {tensor.name: tensor for tensor in added}
            operators = _inserted(operators, made, region, entering)
        before[region], now[region] = full, tokens
    operators = [_shorter(op, before, now) for op in operators]
    tensors |= {t.name: _cache(t, before, now) for t in tensors.values() if t.region in now}
    return reshaped(replace(graph, operators=tuple(operators), tensors=tensors))


def _parts(graph: OperatorGraph, cuts: Sequence[int]) -> tuple[list[tuple[str, int]], OperatorGraph]:
    """Regions that begin at every cut, with their first layer."""
    parts, start = list[tuple[str, int]](), 0
    for region, count in tuple(graph.regions.items()):
        edges = [start, *(cut for cut in cuts if start < cut < start + count), start + count]
        lengths = [after - first for first, after in zip(edges, edges[1:], strict=False)]
        graph = split_region(graph, region, lengths)
        names = [region] if len(lengths) == 1 else [f"{region}.{index}" for index in range(len(lengths))]
        parts += list(zip(names, edges, strict=False))
        start += count
    return parts, graph


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


def _inserted(operators: list[Operator], made: list[Operator], region: str, entering: str) -> list[Operator]:
    """``made`` in front of a region, whose operators read its result instead of ``entering``."""
    first = next(index for index, op in enumerate(operators) if op.region == region)
    fewer = made[-1].outputs[0]

    def moved(op: Operator) -> Operator:
        if op.region != region or entering not in op.inputs:
            return op
        return replace(op, inputs=tuple(fewer if name == entering else name for name in op.inputs))

    return [*operators[:first], *made, *(moved(op) for op in operators[first:])]


def _shorter(op: Operator, before: Mapping[str, Number], now: Mapping[str, Number]) -> Operator:
    if not isinstance(op, FusedAttention | Scores) or op.region not in now:
        return op
    return replace(op, context=op.context - (before[op.region] - now[op.region]))


def _cache(tensor: Tensor, before: Mapping[str, Number], now: Mapping[str, Number]) -> Tensor:
    if tensor.role is not Role.KV_CACHE or len(tensor.shape) != 4:
        return tensor
    batch, stored, *rest = tensor.shape
    gone = before[tensor.region] - now[tensor.region]
    return tensor.replace(shape=(batch, maximum(stored - gone, 1), *rest))
