"""Convolutions with kernels that are mixed for every example."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.edit import exchanged, reshaped
from perfsim.ops import Conv, Elementwise, GlobalPool, Linear, TransposedConv
from perfsim.ops.conditional import KernelMix, PerExampleConv
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.workloads import Plan

__all__ = ["ConditionalConvolution"]


@dataclass(frozen=True, kw_only=True)
class ConditionalConvolution(GraphRewrite):
    """Convolutions store ``experts`` kernels and mix them with weights that come from the block's pooled input.

    Parameters grow by the factor ``experts``; mixing costs experts multiply-accumulates per number of a kernel and
    example, whatever the size of the image; the convolution itself stays, but every example of a batch has a kernel of
    its own. One router (pooling, a projection, a sigmoid) per block, or per convolution outside of blocks. ``blocks``
    names the blocks by how their names begin, joined with "+"; empty for all convolutions.

    References
    ----------
    .. [1] B. Yang et al., "CondConv: Conditionally Parameterized Convolutions for Efficient Inference",
       arXiv 1904.04971.
    """

    experts: int = parameter(1, "kernels per convolution", least=1, most=1024)
    blocks: str = parameter("", "beginnings of the names of the blocks, joined with +; empty for all", unit="name")

    name = "conditional-convolution"
    reference = "arXiv 1904.04971"
    idempotent = False
    neutral = {"experts": 1}

    def requires(self, plan: Plan, context: Context) -> str | None:
        if any(self._chosen(op, phase.graph) for phase in plan.phases for op in phase.graph.operators):
            return None
        return f'none of its convolutions is in blocks="{self.blocks}"' if self.blocks else "it has no convolutions"

    def _chosen(self, op: Operator, graph: OperatorGraph) -> bool:
        starts = tuple(self.blocks.split("+")) if self.blocks else ("",)
        own = isinstance(op, Conv) and not isinstance(op, TransposedConv) and op.name.startswith(starts)
        return own and graph.tensors[op.inputs[1]].role is Role.WEIGHT

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        if self.experts == 1:
            return graph
        routers: dict[str, str] = {}

        def made(op: Conv, tensors: dict[str, Tensor]) -> list[Operator]:
            block = op.region or op.name
            if block in routers:
                return self._mixed(op, routers[block], tensors)
            routers[block] = f"{op.name}.router.gate"
            return [*self._router(op, tensors), *self._mixed(op, routers[block], tensors)]

        chosen = (op for op in graph.operators if isinstance(op, Conv) and self._chosen(op, graph))
        return reshaped(exchanged(graph, chosen, made))

    def _router(self, op: Conv, tensors: dict[str, Tensor]) -> list[Operator]:
        """Coefficients (batch, experts) from the features that enter the block."""
        name, x = f"{op.name}.router", tensors[op.inputs[0]]
        table = Tensor(f"{name}.weight", (x.shape[1], self.experts), x.dtype, Role.WEIGHT, op.region)
        made = [f"{name}.pooled", f"{name}.logits", f"{name}.gate"]
        tensors |= {n: Tensor(n, (), x.dtype, Role.ACTIVATION, op.region) for n in made} | {table.name: table}
        return [
            GlobalPool(f"{name}.pool", (x.name,), (made[0],), op.region),
            Linear(name, (made[0], table.name), (made[1],), op.region),
            Elementwise(f"{name}.sigmoid", (made[1],), (made[2],), op.region, "sigmoid"),
        ]

    def _mixed(self, op: Conv, gate: str, tensors: dict[str, Tensor]) -> list[Operator]:
        """The kernels of each example, and the convolution with them."""
        weight = tensors[op.inputs[1]]
        tensors[weight.name] = weight.replace(shape=(self.experts, *weight.shape))
        mixed = Tensor(f"{op.name}.kernels", (), weight.dtype, Role.ACTIVATION, op.region)
        tensors[mixed.name] = mixed
        return [
            KernelMix(f"{op.name}.mix", (gate, weight.name), (mixed.name,), op.region),
            PerExampleConv(op.name, (op.inputs[0], mixed.name, *op.inputs[2:]), op.outputs, op.region, op),
        ]
