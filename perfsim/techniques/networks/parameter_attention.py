"""Projections as attention to learned rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.edit import exchanged, reshaped
from perfsim.ops import Elementwise, Linear
from perfsim.ops.norm import Norm
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.products import layer_products, nothing_stored, part_of
from perfsim.workloads import Plan

__all__ = ["ParameterAttention"]


@dataclass(frozen=True, kw_only=True)
class ParameterAttention(GraphRewrite):
    """Each projection around attention becomes attention to n learned rows: a product with n keys, one with n values.

    n is ``rows`` times the width that enters. Between the products stand an L2 norm and GeLU instead of a softmax. The
    weights are n·(k + m) instead of k·m, operations in proportion; a layer's perceptron has this form already, with its
    inner width as rows, and stays. The network grows by more rows while its width stays.

    References
    ----------
    .. [1] H. Wang et al., "TokenFormer: Rethinking Transformer Scaling with Tokenized Model Parameters",
       arXiv 2410.23168.
    """

    rows: float = parameter(1.0, "learned rows over the width that enters; 0 for none", least=0.0, most=1e4)

    name = "parameter-attention"
    reference = "arXiv 2410.23168"
    idempotent = False
    neutral = {"rows": 0.0}

    def requires(self, plan: Plan, context: Context) -> str | None:
        if context.system.count > 1:
            return "learned rows are not spread over devices; use count=1"
        return nothing_stored(phase.graph for phase in plan.phases)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        plain = (op for op in layer_products(graph) if isinstance(op, Linear))
        graph = exchanged(graph, (op for op in plain if part_of(op) == "attention" and self.rows), self._attended)
        used = {name for op in graph.operators for name in (*op.inputs, *op.outputs)}
        return reshaped(replace(graph, tensors={name: t for name, t in graph.tensors.items() if name in used}))

    def _attended(self, op: Linear, tensors: dict[str, Tensor]) -> list[Operator]:
        """All products with keys in one kernel, then norm, activation and the product with values for each."""
        inner = tensors[op.inputs[1]].shape[: op.contracted]
        rows = max(1, round(self.rows * math.prod(inner)))
        keys, scores, rest = [], [], list[Operator]()
        for name, output in zip(op.inputs[1:], op.outputs, strict=True):
            weight = tensors[name]
            key = weight.replace(name=f"{name}.keys", shape=(*inner, rows), shard=None)
            value = weight.replace(name=f"{name}.values", shape=(rows, *weight.shape[op.contracted :]), shard=None)
            score, scaled, gate = f"{name}.scores", f"{name}.scaled", f"{name}.gate"
            made = (Tensor(n, (), tensors[output].dtype, Role.ACTIVATION, op.region) for n in (score, scaled, gate))
            tensors |= {t.name: t for t in (key, value, *made)}
            keys.append(key.name)
            scores.append(score)
            rest += [
                Norm(f"{name}.norm", (score,), (scaled,), op.region, "rmsnorm"),
                Elementwise(f"{name}.gelu", (scaled,), (gate,), op.region, "gelu"),
                Linear(f"{name}.read", (gate, value.name), (output,), op.region),
            ]
        first = Linear(f"{op.name}.match", (op.inputs[0], *keys), tuple(scores), op.region, op.contracted)
        return [first, *rest]
