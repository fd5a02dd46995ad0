"""Low-rank adapters that are experts: a router picks some of them for every token."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from perfsim.graph import Operator, OperatorGraph, Tensor
from perfsim.graph.edit import exchanged
from perfsim.ops import Combine, Elementwise, ExpertLinear, Linear, TopK
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.factorization.chain import PARTS
from perfsim.techniques.products import layer_products, no_matrices, part_of
from perfsim.workloads import Plan

__all__ = ["AdapterExperts"]


@dataclass(frozen=True, kw_only=True)
class AdapterExperts(GraphRewrite):
    """Beside every matrix of the layers, ``experts`` low-rank pairs of ``rank`` and a router that picks ``top_k``.

    A token adds the sum of its experts' outputs; since the choice depends on the token, the adapters cannot be folded
    into the matrices: each adapted product gets a router, a choice, two small products of experts, their sum and an
    addition, as kernels of their own. Weights: experts·rank·(k + n) + k·experts per matrix. Layers with unequal numbers
    of experts cost what their mean does, up to rounding.

    References
    ----------
    .. [1] T. Luo et al., "MoELoRA", arXiv 2402.12851. [2] C. Gao et al., "Higher Layers Need More LoRA Experts",
       arXiv 2402.08562.
    """

    experts: int = parameter(8, "adapters per matrix", least=1, most=1024)
    top_k: int = parameter(2, "adapters per token", least=1, most=1024)
    rank: int = parameter(8, "inner width of an adapter", least=1, most=65536)
    part: str = parameter("all", "part of the network whose products are adapted", choices=PARTS)

    name = "adapter-experts"
    reference = "arXiv 2402.12851"
    idempotent = False

    def requires(self, plan: Plan, context: Context) -> str | None:
        if self.top_k > self.experts:
            return f"top_k={self.top_k} of experts={self.experts} adapters cannot be used; use at most {self.experts}"
        if context.system.count > 1:
            return "the adapters are not spread over devices; use count=1"
        return no_matrices(phase.graph for phase in plan.phases)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        plain = (op for op in layer_products(graph) if isinstance(op, Linear))
        return exchanged(graph, (op for op in plain if self._adapted(op, graph)), self._product)

    def _adapted(self, op: Linear, graph: OperatorGraph) -> bool:
        """Projections of (batch, tokens, width); those from heads would need another view of their input."""
        projects = op.contracted == 1 and len(graph.tensors[op.inputs[0]].shape) == 3
        return projects and self.part in ("all", part_of(op))

    def _product(self, op: Linear, tensors: dict[str, Tensor]) -> list[Operator]:
        """The product, and an adapter for each of its weights."""
        raw = tuple(f"{name}.base" for name in op.outputs)
        tensors |= {new: tensors[old].replace(name=new) for new, old in zip(raw, op.outputs, strict=True)}
        made: list[Operator] = [replace(op, outputs=raw)]
        for weight, base, output in zip(op.inputs[1:], raw, op.outputs, strict=True):
            made += self._adapter(op, tensors, weight, base, output)
        return made

    def _adapter(self, op: Linear, tensors: dict[str, Tensor], weight: str, base: str, output: str) -> list[Operator]:
        source, matrix = tensors[op.inputs[0]], tensors[weight]
        width = source.shape[-1]
        columns = matrix.elements // width
        made: list[Operator] = []

        def weights(part: str, shape: tuple[int, ...], expert: bool = True) -> str:
            name = f"{weight}.adapter.{part}.weight"
            tensors[name] = matrix.replace(name=name, shape=shape, expert=expert, shard=None)
            return name

        def add(kind: type[Operator], part: str, inputs: tuple[str, ...], **fields: Any) -> str:
            name = f"{weight}.adapter.{part}"
            new = kind(name, inputs, (f"{name}.out",), op.region, **fields)
            tensors[f"{name}.out"] = source.replace(name=f"{name}.out", shape=new.output_shapes(tensors)[0])
            made.append(new)
            return f"{name}.out"

        routed = {"top_k": self.top_k, "experts": self.experts}
        logits = add(Linear, "router", (source.name, weights("router", (width, self.experts), False)))
        shares = add(TopK, "top_k", (logits,), top_k=self.top_k)
        down = add(ExpertLinear, "down", (source.name, weights("down", (self.experts, width, self.rank))), **routed)
        up = add(ExpertLinear, "up", (down, weights("up", (self.experts, self.rank, columns))), **routed)
        total = add(Combine, "combine", (up, shares))
        made.append(Elementwise(f"{weight}.adapter.add", (base, total), (output,), op.region, "add"))
        return made
