"""Mixtures of experts in place of the perceptrons of an image transformer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.edit import reshaped
from perfsim.ops import Combine, ExpertLinear, Linear, TopK
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.workloads import Plan

__all__ = ["ExpertPerceptrons"]

_ENDS = (".mlp.expand", ".mlp.project")


@dataclass(frozen=True, kw_only=True)
class ExpertPerceptrons(GraphRewrite):
    """Each perceptron becomes ``experts`` perceptrons of its size, of which a token uses ``top_k``.

    Stored weights of the perceptrons grow by ``experts``, operations by ``top_k``, and a router comes on top. Balanced
    routing; tokens that an expert's buffer would drop are kept. Together with shared layers it makes a network that
    goes wider instead of deeper.

    References
    ----------
    .. [1] F. Xue et al., "Go Wider Instead of Deeper", arXiv 2107.11817. [2] C. Riquelme et al., "Scaling Vision with
       Sparse Mixture of Experts", arXiv 2106.05974.
    """

    experts: int = parameter(1, "perceptrons per layer", least=1, most=4096)
    top_k: int = parameter(1, "perceptrons that a token uses", least=1, most=64)

    name = "expert-perceptrons"
    reference = "arXiv 2107.11817"
    idempotent = False
    neutral = {"experts": 1}

    def requires(self, plan: Plan, context: Context) -> str | None:
        if self.top_k > self.experts:
            return f"a token cannot use {self.top_k} of {self.experts} experts"
        names = [op.name for phase in plan.phases for op in phase.graph.operators if isinstance(op, Linear)]
        found = all(any(name.endswith(end) for name in names) for end in _ENDS)
        return None if found else "it has no perceptrons that expand and project the tokens of an image"

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        if self.experts == 1:
            return graph
        tensors, operators = dict(graph.tensors), list[Operator]()
        shares = ""
        for op in graph.operators:
            if isinstance(op, Linear) and op.name.endswith(_ENDS):
                first = op.name.endswith(_ENDS[0])
                if first:
                    shares = f"{op.name}.shares"
                    operators += self._router(op, shares, tensors)
                operators.append(self._routed(op, tensors))
                continue
            bias = op.inputs[1] if len(op.inputs) > 1 else ""
            if op.name.endswith(tuple(f"{end}.add_bias" for end in _ENDS)):
                tensors[bias] = tensors[bias].replace(shape=(self.experts, *tensors[bias].shape))
            if op.name.endswith(f"{_ENDS[1]}.add_bias"):
                operators += self._combined(op, shares, tensors)
            else:
                operators.append(op)
        return reshaped(replace(graph, tensors=tensors, operators=tuple(operators)))

    def _router(self, op: Linear, shares: str, tensors: dict[str, Tensor]) -> list[Operator]:
        weight = tensors[op.inputs[1]]
        router = weight.replace(name=f"{op.name}.router.weight", shape=(weight.shape[0], self.experts))
        made = [Tensor(n, (), weight.dtype, Role.ACTIVATION, op.region) for n in (f"{op.name}.logits", shares)]
        tensors |= {t.name: t for t in (router, *made)}
        return [
            Linear(f"{op.name}.router", (op.inputs[0], router.name), (made[0].name,), op.region),
            TopK(f"{op.name}.top_k", (made[0].name,), (shares,), op.region, self.top_k),
        ]

    def _routed(self, op: Linear, tensors: dict[str, Tensor]) -> Operator:
        weight = tensors[op.inputs[1]]
        tensors[weight.name] = weight.replace(shape=(self.experts, *weight.shape), expert=True)
        return ExpertLinear(op.name, op.inputs, op.outputs, op.region, self.top_k, self.experts)

    def _combined(self, op: Operator, shares: str, tensors: dict[str, Tensor]) -> list[Operator]:
        """The bias of each expert, then their weighted sum under the name that the others read."""
        apart = tensors[op.outputs[0]].replace(name=f"{op.name}.apart")
        tensors[apart.name] = apart
        return [
            replace(op, outputs=(apart.name,)),
            Combine(f"{op.name}.combine", (apart.name, shares), op.outputs, op.region),
        ]
