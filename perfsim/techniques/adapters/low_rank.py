"""Low-rank adapters beside the frozen matrices."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import OperatorGraph
from perfsim.ops import Elementwise, Linear
from perfsim.techniques.adapters.resident import Adapter, ResidentAdapters, in_layers
from perfsim.techniques.base import parameter
from perfsim.techniques.factorization.chain import PARTS
from perfsim.techniques.products import part_of

__all__ = ["LowRankAdapters"]


@dataclass(frozen=True, kw_only=True)
class LowRankAdapters(ResidentAdapters):
    """Beside every matrix (k × n) of the layers a pair (k × rank) and (rank × n) that is *not* folded into it.

    Its two products and an addition run beside the base: rank·(k + n) weights per adapter and matrix, 2·rank·(k + n)
    FLOP per token. With several ``adapters`` in memory a batch reads those that its sequences use, as grouped products
    with few rows each. A single adapter that is folded into the matrices costs nothing at inference: leave the
    technique out. Stated behind a quantisation of the weights the pair keeps the format of the features; stated in
    front of it, it is quantised as well. Loading of adapters that are not in memory is left out.

    References
    ----------
    .. [1] E. Hu et al., "LoRA", arXiv 2106.09685. [2] L. Chen et al., "Punica", arXiv 2310.18547.
    """

    rank: int = parameter(16, "inner width of the pair", least=0, most=65536)
    part: str = parameter("all", "part of the network whose matrices are adapted", choices=PARTS)

    name = "low-rank-adapters"
    reference = "arXiv 2106.09685"
    idempotent = False
    neutral = {"rank": 0}

    @property
    def absent(self) -> bool:
        return self.rank == 0

    def sites(self, graph: OperatorGraph) -> list[Linear]:
        return in_layers(graph, lambda op: self.part in ("all", part_of(op)))

    def attach(self, weight: str, base: str, output: str, adapter: Adapter) -> None:
        op, shape = adapter.op, adapter.tensors[weight].shape
        source = op.inputs[0]
        down = adapter.product("down", source, (*shape[: op.contracted], self.rank), op.contracted)
        up = adapter.product("up", down, (self.rank, *shape[op.contracted :]))
        adapter.add(Elementwise, "add", (base, up), output, function="add")
