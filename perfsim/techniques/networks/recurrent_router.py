"""Routers of experts with a state that travels over the layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.edit import exchanged, reshaped
from perfsim.ops import Elementwise, Linear
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.experts.routing import mixtures
from perfsim.workloads import Plan

__all__ = ["RecurrentRouter"]


@dataclass(frozen=True, kw_only=True)
class RecurrentRouter(GraphRewrite):
    """Each layer's router reads a gated recurrent unit of ``width`` whose state comes from the layer before.

    Per token and layer: a projection hidden → width of the layer's own, three gates from it and three from the state
    (weights that all layers share), element-wise gates, and the choice among experts from the new state. Sequential in
    depth, which layers are anyway, and parallel over tokens. Experts and their dispatch stay. ``width`` 0 for no state.

    References
    ----------
    .. [1] Z. Qiu et al., "Layerwise Recurrent Router for Mixture-of-Experts", arXiv 2408.06793.
    """

    width: int = parameter(0, "width of the state; 0 for the plain router", least=0, most=10**5)

    name = "recurrent-router"
    reference = "arXiv 2408.06793"
    idempotent = False
    neutral = {"width": 0}

    def requires(self, plan: Plan, context: Context) -> str | None:
        if context.system.count > 1:
            return "the shared gates are not spread over devices; use count=1"
        return None if mixtures(context.model) or not self.width else "it has no experts"

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        if not self.width:
            return graph
        plain = (op for op in graph.operators if isinstance(op, Linear))
        return reshaped(exchanged(graph, (op for op in plain if op.name.endswith("moe.router")), self._unit))

    def _unit(self, op: Linear, tensors: dict[str, Tensor]) -> list[Operator]:
        """The unit in front of a router, and the router on its state."""
        n, width, weight, x = op.name, self.width, tensors[op.inputs[1]], tensors[op.inputs[0]]
        hidden, experts = weight.shape
        made = [f"{n}.{part}" for part in ("features", "gates_in", "gates_state", "gates", "new_state")]
        tensors |= {name: Tensor(name, (), x.dtype, Role.ACTIVATION, op.region) for name in made}
        stored = [
            weight.replace(name=f"{n}.project.weight", shape=(hidden, width)),
            Tensor("recurrent_router.input", (width, 3 * width), weight.dtype, Role.WEIGHT),
            Tensor("recurrent_router.state", (width, 3 * width), weight.dtype, Role.WEIGHT),
            Tensor(f"{n}.state", (*x.shape[:-1], width), x.dtype, Role.INPUT, op.region),
            weight.replace(shape=(width, experts)),
        ]
        tensors |= {t.name: t for t in stored}
        features, from_input, from_state, gates, state = made
        return [
            Linear(f"{n}.project", (x.name, stored[0].name), (features,), op.region),
            Linear(f"{n}.input_gates", (features, stored[1].name), (from_input,), op.region),
            Linear(f"{n}.state_gates", (stored[3].name, stored[2].name), (from_state,), op.region),
            Elementwise(f"{n}.sigmoid", (from_input, from_state), (gates,), op.region, "sigmoid"),
            Elementwise(f"{n}.update", (features, gates, stored[3].name), (state,), op.region, "combine"),
            replace(op, inputs=(state, weight.name)),
        ]
