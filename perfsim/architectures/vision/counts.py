"""Sizes of a vision network as published tables count them."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, OperatorGraph, Unit
from perfsim.ops import BatchNorm, FusedAttention, GroupNorm, Norm, SelectiveScan

__all__ = ["Counts", "counts_of"]

BATCH_NORM, LAYER_NORM = 2, 5
"""Operations per element that the tables of timm add to the multiply-accumulates: they print the totals of fvcore
(flop counters of batch_norm in evaluation mode, and layer_norm), which count one per multiply-accumulate."""

SCAN_STATE, SCAN_CHANNEL = 9, 1
"""Operations per entry of the state and per channel that tables of state-space networks add for a selective scan
(MzeroMiko/VMamba@005b498e6c59, README: the count that the authors of Mamba give in state-spaces/mamba, issue 110)."""


@dataclass(frozen=True)
class Counts:
    """Sizes for one image [1].

    products: multiply-accumulates of convolutions, projections and attention; macs: the same plus what timm's tables
    count for norms and scans; activations: elements that convolutions, projections and attention write; parameters:
    stored.

    References
    ----------
    .. [1] huggingface/pytorch-image-models@aa4b5850c154, results/benchmark-*.csv, columns infer_gmacs, infer_macts,
       param_count.
    """

    products: int
    macs: int
    activations: int
    parameters: int


def counts_of(graph: OperatorGraph) -> Counts:
    """Counts of the graph of one image whose batch norms are not folded."""
    products = norms = activations = 0
    for op in graph.operators:
        count = graph.count(op)
        if op.unit is Unit.TENSOR:
            products += op.work(graph.tensors).flops // 2 * count
            activations += _written(op, graph) * count
        elif isinstance(op, BatchNorm | GroupNorm | Norm):
            per_element = BATCH_NORM if isinstance(op, BatchNorm) else LAYER_NORM
            norms += per_element * graph.tensors[op.outputs[0]].elements * count
        elif isinstance(op, SelectiveScan):
            per_channel = SCAN_STATE * op.state_size(graph.tensors) + SCAN_CHANNEL
            norms += per_channel * graph.tensors[op.outputs[0]].elements * count
    return Counts(products, products + norms, activations, int(graph.parameters))


def _written(op: Operator, graph: OperatorGraph) -> int:
    written = sum(graph.tensors[name].elements for name in op.outputs)
    if isinstance(op, FusedAttention):
        batch, tokens, heads, _ = graph.tensors[op.inputs[0]].shape
        written += batch * heads * tokens * op.context
    return int(written)
