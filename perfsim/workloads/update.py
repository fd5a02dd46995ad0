"""The update of the weights, as a graph."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from perfsim.graph import OperatorGraph, Role, Tensor
from perfsim.ops import Update
from perfsim.quantities.dtypes import DTYPES
from perfsim.quantities.numbers import ceil_div
from perfsim.workloads.differentiate import Passes
from perfsim.workloads.replicas import parts_of

__all__ = ["STATES", "update_of"]

STATES: Mapping[str, int] = MappingProxyType({"adam": 2, "momentum": 1, "lion": 1, "sgd": 0})
"""Numbers in fp32 that an optimizer keeps per parameter [1], beside the fp32 copy of weights in narrower formats."""


def update_of(passes: Passes, optimizer: str, shards: int) -> OperatorGraph:
    """One kernel per part of the network that updates the device's share, one of ``shards``, of its weights."""
    wide = DTYPES["fp32"]
    weights = parts_of(passes.forward, Role.WEIGHT)
    operators, tensors = list[Update](), dict[str, Tensor]()
    for region, gradients in parts_of(passes.backward, Role.GRADIENT).items():
        stored, prefix = weights[region][-1].dtype, f"{region}." if region else ""
        size = ceil_div(sum(t.elements for t in gradients), shards)
        copies = STATES[optimizer] + (1 if stored.bits < wide.bits else 0)
        parts = [
            Tensor(f"{prefix}gradients", (size,), gradients[0].dtype, Role.INDEX, region),
            Tensor(f"{prefix}weights", (size,), stored, Role.INDEX, region),
            Tensor(f"{prefix}optimizer", (size, copies), wide, Role.OPTIMIZER, region),
        ]
        used = parts if copies else parts[:2]
        tensors |= {t.name: t for t in used}
        operators.append(Update(f"{prefix}update", tuple(t.name for t in used), (), region, function=optimizer))
    regions = {name: passes.forward.regions[name] for name in (op.region for op in operators) if name}
    return OperatorGraph(tuple(operators), tensors, regions)
