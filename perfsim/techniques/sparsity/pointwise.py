"""Sparse pointwise convolutions on processors: which layers, how they are stored, which kernel."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph
from perfsim.ops import Conv
from perfsim.ops.sparse_strips import StripProduct
from perfsim.quantities.numbers import Number
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.products import stored_weights
from perfsim.techniques.sparsity.semi_structured import sparse_weights
from perfsim.workloads import Plan

__all__ = ["SparsePointwise", "index_overhead"]

OFFSET_BITS, COUNT_BITS = 32, 32
"""An offset per kept block and a count per row of blocks [bit], as XNNPACK stores them."""

FORMATS = ("fp32", "fp16")
"""Number formats that such kernels exist for."""

PROCESSORS = ("server-cpu", "client-cpu", "mobile", "sbc")
"""Classes of devices that such kernels exist for."""


def index_overhead(*, density: float, block: int, inputs: float) -> float:
    """Bits per dense weight that say where the kept blocks are [bit]: one offset each, and one count per row of them.

    density: share of the blocks that stay; block: outputs per block; inputs: blocks of a row.
    """
    return (density * OFFSET_BITS + COUNT_BITS / inputs) / block


@dataclass(frozen=True, kw_only=True)
class SparsePointwise(GraphRewrite):
    """Pointwise convolutions whose weights are stored sparsely, by kernels of a processor's vector unit.

    Taken are dense 1×1 convolutions with stride 1 over maps; the first layer, depthwise, strided and grouped
    convolutions, layers of a single position (squeeze and excitation) and the classifier stay dense. Maps are stored
    channel by channel from the first layer on, at no price for the other layers.

    The rate follows from the kernel's instructions: a kept block of ``block`` outputs loads ``strip`` positions and
    multiplies them; loads, bookkeeping and the ends of rows are issued beside the multiplications, and few positions
    fill neither a strip nor all cores. So few zeros make a network *slower*. The sparse kernel then runs nevertheless:
    XNNPACK itself takes it where more than two thirds of these weights are zero.

    Not in it: gathers from L2 where the channels of a strip exceed L1, weights that exceed L2 and pass again per strip.

    References
    ----------
    .. [1] E. Elsen et al., "Fast Sparse ConvNets", arXiv 1911.09723.
    .. [2] google/XNNPACK@171707518e3e: kernels of 1, 2 and 4 outputs per block, 16 and 32 positions per strip.
    """

    density: float = parameter(0.2, "pointwise weights that stay, over all", least=0.0001, most=1.0)
    block: int = parameter(1, "outputs that share their positions of kept weights: 1, 2 and 4 exist", least=1, most=8)
    strip: int = parameter(32, "positions that stay in registers, rounded down to a power of two", least=1, most=64)
    register: int = parameter(
        128, "width of a vector register, the same for the dense kernels", unit="bit", least=32, most=2048
    )
    issue: float = parameter(
        2.0, "instructions that a core issues in the time of one vector multiply-accumulate", least=1.0, most=8.0
    )

    name = "sparse-pointwise"
    reference = "arXiv 1911.09723"
    idempotent = False
    neutral = {"density": 1.0}

    def requires(self, plan: Plan, context: Context) -> str | None:
        taken = [(op, phase.graph) for phase in plan.phases for op in _pointwise(phase.graph)]
        if not taken:
            return "it has no dense pointwise convolutions with stride 1 over maps"
        formats = sorted({op.compute_dtype(graph.tensors).name for op, graph in taken} - set(FORMATS))
        if formats:
            return f"its kernels compute in {' and '.join(FORMATS)}, not in {formats[0]}"
        device = context.system.device
        kind, engine = str(device.info.get("class")), str(device.info.get("engine", "cpu"))
        if kind not in PROCESSORS or engine != "cpu":
            return f"its kernels are those of processors, and {device.key} is a {kind}; use unstructured-sparsity"
        return None

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        if self.density == 1:
            return graph
        dense, chosen = graph, {op.name for op in _pointwise(graph)}
        for op in _pointwise(dense):
            inputs = dense.tensors[op.inputs[1]].shape[2]
            index = index_overhead(density=self.density, block=self.block, inputs=inputs)
            graph = sparse_weights(graph, op, density=self.density, index=index)
        cores = context.system.device.units
        operators = [self._sparse(op, dense, cores) if op.name in chosen else op for op in dense.operators]
        return replace(graph, operators=tuple(operators))

    def _sparse(self, op: Operator, graph: OperatorGraph, cores: Number) -> Operator:
        lanes = max(int(self.register / op.compute_dtype(graph.tensors).bits), 1)
        strip = 1 << (self.strip.bit_length() - 1)
        return StripProduct(
            op.name, op.inputs, op.outputs, op.region, op, self.density, 1.0,
            strip, self.block, lanes, self.issue, cores,
        )  # fmt: skip


def _pointwise(graph: OperatorGraph) -> list[Operator]:
    """The dense convolutions of one tap and stride 1 over more than one position."""
    plain = [op for op in graph.operators if type(op) is Conv and not op.tokens and set(op.stride) == {1}]
    return [op for op in plain if stored_weights(op, graph) and _one_tap(op, graph)]


def _one_tap(op: Operator, graph: OperatorGraph) -> bool:
    maps, (groups, _, _, *kernel) = (graph.tensors[name].shape for name in op.inputs[:2])
    return groups == 1 and set(kernel) == {1} and set(maps[2:]) != {1}
