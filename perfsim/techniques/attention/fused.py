"""Attention in one kernel instead of three products and passes over the scores."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph, Tensor
from perfsim.ops import FusedAttention, Scores, Values
from perfsim.techniques.base import Context, GraphRewrite

__all__ = ["FusedAttentionKernel"]


@dataclass(frozen=True, kw_only=True)
class FusedAttentionKernel(GraphRewrite):
    """Scores, mask, softmax and weighted values of every attention run as one kernel.

    No score reaches main memory, and pairs that a causal mask hides are not computed. The arithmetic that is left is
    the same, so it pays with the square of the sequence; a stack that runs fused kernels already changes nothing.
    What the kernel reaches of the peak is the stack's ``attention_efficiency``.

    References
    ----------
    .. [1] T. Dao et al., "FlashAttention", arXiv 2205.14135.
    """

    name = "fused-attention"
    reference = "arXiv 2205.14135"

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        tensors, gone = dict(graph.tensors), set[str]()
        operators: dict[str, Operator] = {op.name: op for op in graph.operators}
        for op in graph.operators:
            if not isinstance(op, Values):
                continue
            chain = _chain(graph, op)
            scores = chain[-1]
            if not isinstance(scores, Scores):
                continue
            tables = tuple(n for link in chain[1:-1] for n in link.inputs[1:])
            inputs = (*scores.inputs, op.inputs[1], *tables)
            operators[op.name] = FusedAttention(
                scores.name.removesuffix(".scores") + ".fused", inputs, op.outputs, op.region, scores.context,
                scores.window, scores.causal, op.value_dim,
            )  # fmt: skip
            tensors[op.outputs[0]] = _in_format(tensors[op.outputs[0]], tensors[scores.inputs[0]])
            gone |= {link.name for link in chain[1:]}
        tensors = {n: t for n, t in tensors.items() if not _made_by(graph, n, gone)}
        kept = tuple(operators[op.name] for op in graph.operators if op.name not in gone)
        return replace(graph, operators=kept, tensors=tensors) if gone else graph


def _chain(graph: OperatorGraph, values: Operator) -> list[Operator]:
    """From the weighted values back to the scores, along the first inputs."""
    chain = [values]
    while not isinstance(chain[-1], Scores):
        before = graph.producer(chain[-1].inputs[0])
        if before is None:
            break
        chain.append(before)
    return chain


def _in_format(tensor: Tensor, queries: Tensor) -> Tensor:
    return tensor.replace(dtype=queries.dtype)


def _made_by(graph: OperatorGraph, tensor: str, operators: set[str]) -> bool:
    producer = graph.producer(tensor)
    return producer is not None and producer.name in operators
