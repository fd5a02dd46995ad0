"""Which neighbouring blocks share a kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from perfsim.costs.fusion.chain import Chain, joined
from perfsim.costs.fusion.footprint import shapes_of
from perfsim.costs.fusion.search import Limits, Search, search
from perfsim.devices import Stack, System
from perfsim.graph import OperatorGraph
from perfsim.quantities.numbers import Number

__all__ = ["Planner", "partitioned"]


@dataclass(frozen=True, eq=False)
class Planner:
    """Searches the plans of a graph's chains; equal chains are searched once."""

    graph: OperatorGraph
    system: System
    stack: Stack
    limits: Limits
    known: dict[object, Search] = field(default_factory=dict)

    def search(self, chain: Chain, main: Number | None = None) -> Search:
        """The plan of ``chain``; main: as for :func:`search`."""
        key = self._geometry(chain), main
        if key not in self.known:
            self.known[key] = search(chain, self.graph, self.system, self.stack, self.limits, main)
        found = self.known[key]
        if found.plan is None or found.plan.shapes.chain is chain:
            return found
        return replace(found, plan=replace(found.plan, shapes=shapes_of(chain, self.graph.tensors)))

    def _geometry(self, chain: Chain) -> object:
        tensors = self.graph.tensors
        stages = tuple(
            (
                s.operator.kind, s.operator.fusion_kind, s.kernel, s.stride, s.padding, s.dilation, s.group,
                tensors[s.result].shape, tuple(tensors[n].nbytes for n in s.weights),
            )
            for s in chain.stages
        )  # fmt: skip
        source = tensors[chain.source]
        ends = source.shape, source.dtype.name, source.placement, tensors[chain.result].placement
        return stages, ends, chain.kept, len(chain.outside), chain.blocks


def partitioned(
    chains: list[Chain], planner: Planner, apart: Callable[[Chain], float], most: int
) -> list[tuple[Chain, Search]]:
    """Chains, joined up to ``most`` at a time where one kernel takes less time than several.

    apart: time of a chain's operators as they run now [s]. Each chain goes into exactly one piece.
    """
    times, choice = [0.0], [0]
    for end in range(1, len(chains) + 1):
        options = []
        for count in range(1, min(most, end) + 1):
            piece = _piece(chains[end - count : end], planner)
            if piece is None:
                break
            alone = sum(apart(chain) for chain in chains[end - count : end])
            options.append((times[end - count] + min(planner.search(piece).runtime, alone), count))
        best = min(options)
        times.append(best[0])
        choice.append(best[1])
    pieces: list[tuple[Chain, Search]] = []
    end = len(chains)
    while end:
        piece = _piece(chains[end - choice[end] : end], planner)
        if piece is not None:
            pieces.append((piece, planner.search(piece)))
        end -= choice[end]
    return pieces[::-1]


def _piece(chains: list[Chain], planner: Planner) -> Chain | None:
    return chains[0] if len(chains) == 1 else joined(tuple(chains), planner.graph)
