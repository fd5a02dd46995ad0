"""Early exit: an input leaves the network at the first head that is sure enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from perfsim.errors import GraphError, InputError
from perfsim.graph import OperatorGraph
from perfsim.quantities.numbers import Number, power
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.techniques.depth.truncation import layer_count, truncated, with_filled_caches, with_tried_heads
from perfsim.techniques.shares import numbers_of, probabilities_of
from perfsim.workloads import Phase, Plan

__all__ = ["EarlyExit", "deepest_of_batch"]


def deepest_of_batch(*, shares: Sequence[float], batch: Number) -> list[Number]:
    """Probability that the deepest exit of ``batch`` independent inputs is each of the exits [1].

    shares: of single inputs, in order of depth, that of the last layer included. F(k)^b − F(k − 1)^b with the cumulated
    shares F.
    """
    result: list[Number] = []
    before: Number = 0
    reached = 0.0
    for share in shares:
        reached = min(1.0, reached + share)
        now = power(reached, batch)
        result.append(now - before)
        before = now
    return result


@dataclass(frozen=True, kw_only=True)
class EarlyExit(PlanRewrite):
    """Inputs (or tokens of a decode) leave behind the layers ``exits`` with the declared ``shares``; the rest runs on.

    Expected cost = Σ share × (layers so far + every head tried so far). A head is a copy of the network's own end: with
    its weights (``heads=shared``, the usual case for language models) or with weights of its own. A batch moves
    together and waits for its slowest input, so that its depth is the largest of ``batch`` independent draws and the
    gain fades as the batch grows. Decoders: tokens that leave early still need keys and values in the layers they
    skip; with ``cache=filled`` these are projected from the last features (the weights of these projections are read),
    with ``cache=none`` nothing is done and later tokens are taken to attend to what there is. Prompts run through all
    layers.

    References
    ----------
    .. [1] S. Teerapittayanon et al., "BranchyNet", arXiv 1709.01686. [2] T. Schuster et al., "Confident Adaptive
       Language Modeling", arXiv 2207.07061: copying the state to the layers that are skipped.
    """

    exits: str = parameter(
        "", "layers behind which inputs may leave, in order, e.g. 8/16; empty for none", unit="layer"
    )
    shares: str = parameter("", "share of all inputs that leaves there, one per exit")
    heads: str = parameter("shared", "whose weights the heads of the exits use", choices=("shared", "own"))
    cache: str = parameter("filled", "what happens to the cache of skipped layers", choices=("filled", "none"))

    name = "early-exit"
    reference = "arXiv 2207.07061"
    idempotent = False
    neutral = {"exits": "", "shares": ""}
    turn = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        depths, shares = self._depths, probabilities_of(f"{self.name}: shares", self.shares)
        if len(depths) != len(shares) or sum(shares) > 1 + 1e-9:
            raise InputError(f'{self.name}: shares="{self.shares}": expected one share per exit, at most 1 together')
        if list(depths) != sorted(set(depths)) or any(depth < 1 for depth in depths):
            raise InputError(f'{self.name}: exits="{self.exits}": expected layers from 1 on, in rising order')

    @property
    def _depths(self) -> tuple[int, ...]:
        return tuple(int(n) for n in numbers_of(f"{self.name}: exits", self.exits))

    def requires(self, plan: Plan, context: Context) -> str | None:
        """Layers of equal shape, and exits in front of the last one."""
        for phase in _exiting(plan):
            try:
                layers = layer_count(phase.graph)
                if phase.stage == "decode" and self.cache == "filled":
                    with_filled_caches(truncated(phase.graph, 1), phase.graph)
            except GraphError as error:
                return str(error)
            if self._depths and self._depths[-1] >= layers:
                return f"exits={self.exits}, but it has {layers} layers; exits lie before the last one"
        return None

    def apply(self, plan: Plan, context: Context) -> Plan:
        if not self._depths:
            return plan
        chosen = {id(phase) for phase in _exiting(plan)}
        phases = (self._parts(phase) if id(phase) in chosen else [phase] for phase in plan.phases)
        return plan.replace(phases=tuple(part for parts in phases for part in parts))

    def _parts(self, phase: Phase) -> list[Phase]:
        alone = probabilities_of(self.name, self.shares)
        rest = max(0.0, 1 - sum(alone))
        shares = deepest_of_batch(shares=(*alone, rest), batch=phase.sequences)
        parts = [replace(phase, graph=self._tried(phase, len(alone)), share=phase.share * shares[-1])]
        for index, depth in enumerate(self._depths):
            graph = truncated(self._tried(phase, 0), depth)
            if self.cache == "filled" and phase.stage == "decode":
                graph = with_filled_caches(graph, phase.graph)
            graph = with_tried_heads(graph, index, shared=self.heads == "shared")
            parts.insert(index, replace(phase, name=f"{phase.stage}/exit-{depth}", graph=graph,
                                        share=phase.share * shares[index]))  # fmt: skip
        return parts

    def _tried(self, phase: Phase, heads: int) -> OperatorGraph:
        return with_tried_heads(phase.graph, heads, shared=self.heads == "shared")


def _exiting(plan: Plan) -> list[Phase]:
    """Phases in which inputs may leave: decoding, and single passes."""
    return [p for p in plan.phases if p.stage in ("decode", "forward")]
