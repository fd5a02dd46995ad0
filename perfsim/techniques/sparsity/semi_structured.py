"""N:M sparsity: of every M consecutive weights at most N are not zero."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from perfsim.devices import Device
from perfsim.graph import Operator, OperatorGraph, Unit
from perfsim.ops.sparse import SparseProduct
from perfsim.quantities.dtypes import DType
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.products import layer_products, nothing_stored, stored_weights
from perfsim.workloads import Plan

__all__ = ["SemiStructuredSparsity", "hardware_speedup", "index_bits", "sparse_weights"]


def index_bits(*, kept: int, block: int) -> float:
    """Bits per dense weight that say where the kept ones of a block are [bit]: ``kept`` positions of log2(block)."""
    return kept * math.ceil(math.log2(block)) / block if block > 1 else 0.0


def hardware_speedup(device: Device, dtype: DType, *, kept: int, block: int) -> float:
    """Sparse over dense peak of the matrix unit in ``dtype`` [1]; 1 where the device has no unit for the pattern.

    Sparse tensor cores know the pattern 2:4, and 1:2 as a special case of it.
    """
    sparse = device.get(f"compute.tensor_sparse.{dtype.name}")
    if sparse is None or kept * 2 != block or block not in (2, 4):
        return 1.0
    return float(sparse / device.peak(Unit.TENSOR, dtype))


def sparse_weights(graph: OperatorGraph, op: Operator, *, density: float, index: float) -> OperatorGraph:
    """The graph with ``density`` of the weights of ``op`` stored, plus ``index`` bits per dense weight."""
    tensors = dict(graph.tensors)
    for name in stored_weights(op, graph):
        old = tensors[name].dtype
        bits = old.bits * density + index
        tensors[name] = tensors[name].replace(dtype=DType(f"{old.name}-sparse", bits, old.kind))  # type: ignore[arg-type]
    return replace(graph, tensors=tensors)


@dataclass(frozen=True, kw_only=True)
class SemiStructuredSparsity(GraphRewrite):
    """Weights of the layers with ``kept`` of every ``block`` values stored, and their positions.

    Bytes shrink everywhere; arithmetic only where the matrix unit skips the zeros: at 2:4 on a device with a sparse
    peak in the format of the product, else the kernel unpacks the weights and multiplies them densely. So compute-bound
    phases gain at most dense over sparse peak, memory-bound ones the bytes.

    References
    ----------
    .. [1] A. Mishra et al., "Accelerating Sparse Deep Neural Networks", arXiv 2104.08378: 2 bits per kept value.
    """

    kept: int = parameter(2, "weights that stay in every block", least=1, most=64)
    block: int = parameter(4, "consecutive weights of which `kept` stay", least=1, most=64)

    name = "semi-structured-sparsity"
    reference = "arXiv 2104.08378"
    idempotent = False
    neutral = {"kept": 1, "block": 1}

    def requires(self, plan: Plan, context: Context) -> str | None:
        if self.kept > self.block:
            return f"kept={self.kept} of block={self.block} weights cannot stay; use kept of at most {self.block}"
        return nothing_stored(phase.graph for phase in plan.phases)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        if self.kept == self.block:
            return graph
        density = self.kept / self.block
        chosen = {op.name: op for op in layer_products(graph)}
        for op in chosen.values():
            graph = sparse_weights(graph, op, density=density, index=index_bits(kept=self.kept, block=self.block))
        operators = [self._sparse(op, graph, context) if op.name in chosen else op for op in graph.operators]
        return replace(graph, operators=tuple(operators))

    def _sparse(self, op: Operator, graph: OperatorGraph, context: Context) -> Operator:
        density = self.kept / self.block
        dtype = op.compute_dtype(graph.tensors)
        gain = hardware_speedup(context.system.device, dtype, kept=self.kept, block=self.block)
        return SparseProduct(op.name, op.inputs, op.outputs, op.region, op, density, 1 / (density * gain))
