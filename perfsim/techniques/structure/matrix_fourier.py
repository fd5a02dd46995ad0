"""Fourier transforms on the matrix unit, in one kernel with the products of the spectrum."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from perfsim.graph import Operator, OperatorGraph, TiledKernel
from perfsim.ops import Elementwise, FourierTransform
from perfsim.ops.fourier_matrix import MatrixFourier
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.workloads import Plan

__all__ = ["FourierProducts"]


@dataclass(frozen=True, kw_only=True)
class FourierProducts(GraphRewrite):
    """Fast transforms become chains of products with matrices of ``radix`` rows, run by the matrix unit.

    They execute more operations than a fast transform, N·N_i per factor instead of N·log2(N), but at the matrix unit's
    rate. A transform back whose input is an element-wise product of spectra runs in one kernel with it, so that the
    filtered spectrum does not cross main memory.

    References
    ----------
    .. [1] D. Fu et al., "FlashFFTConv", arXiv 2311.05908.
    """

    radix: int = parameter(16, "rows of the matrices", least=2, most=256)

    name = "fourier-products"
    reference = "arXiv 2311.05908"

    def requires(self, plan: Plan, context: Context) -> str | None:
        found = any(isinstance(op, FourierTransform) for p in plan.phases for op in p.graph.operators)
        return None if found else "it has no Fourier transforms"

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        operators = tuple(self._on_matrix_unit(op) for op in graph.operators)
        kernels = dict(graph.kernels)
        for op in operators:
            before = graph.producer(op.inputs[0]) if isinstance(op, MatrixFourier) else None
            fits = isinstance(before, Elementwise) and before.region == op.region and before.name not in kernels
            if fits and before is not None and len(graph.consumers(op.inputs[0])) == 1:
                kernel = TiledKernel(op.name, (before.name, op.name))
                kernels |= {before.name: kernel, op.name: kernel}
        return replace(graph, operators=operators, kernels=kernels)

    def _on_matrix_unit(self, op: Operator) -> Operator:
        if not isinstance(op, FourierTransform) or isinstance(op, MatrixFourier):
            return op
        return MatrixFourier(**{f.name: getattr(op, f.name) for f in fields(op)}, radix=self.radix)
