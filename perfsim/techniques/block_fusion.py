"""Blocks of convolutions as one kernel each, tile by tile, with everything between their ends on chip."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.costs.fusion import Fused, Limits, Settings, fused_graph
from perfsim.devices import Device
from perfsim.errors import InputError
from perfsim.graph import OperatorGraph
from perfsim.ops import Conv
from perfsim.quantities.numbers import Number, is_array
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.workloads import Plan

__all__ = ["BlockFusion", "scratchpad_of"]

LEVELS = ("lds", "sbuf", "vmem", "sram", "l1")
"""Memory levels that a kernel can manage or count on, per compute unit or for the whole chip, best first."""

STRATEGIES = {"best": ("recompute", "ring-buffer"), "recompute": ("recompute",), "ring-buffer": ("ring-buffer",)}


def scratchpad_of(device: Device) -> tuple[Number, int, str] | None:
    """Scratchpad of a device: capacity of one [byte], how many there are, and its path; None if no source gives one.

    Of processors whose cores have a level-2 cache of their own it is that one; of GPUs the shared memory.
    """
    levels = ("l2", *LEVELS) if device.info.get("memory.l2.scope") == "per-core" else LEVELS
    for level in levels:
        for what in ("shared_capacity", "capacity"):
            path = f"memory.{level}.{what}"
            if level != device.main_memory and device.get(path) is not None:
                return device.get(path), int(device.info.get(f"memory.{level}.count", 1)), path
    return None


@dataclass(frozen=True, kw_only=True)
class BlockFusion(GraphRewrite):
    """Blocks of convolutions run as one kernel each: their inner maps never leave the chip.

    Blocks are found by structure: ConvFirst, MBConv, Fused-MBConv, ConvNeXt, inverted residuals, bottlenecks. A tile
    of the output is made from a tile of the input with its halo, which is either read and computed again by every tile
    (``recompute``) or kept in rings of rows while a tile walks down the map (``ring-buffer``). The tile that takes
    least time is searched; halos, weights that are read per tile, and units without a tile are paid for. A block is
    left apart where it does not fit, or where fusing it takes longer; a global reduction (squeeze-and-excite) ends it.

    References
    ----------
    .. [1] A. Lavin, arXiv 2404.03617: block fusion. [2] M. Alwani et al., "Fused-layer CNN accelerators", MICRO 2016:
       recompute or reuse of halos. [3] L. Waeijen et al., "ConvFusion", IEEE TC 2021: tiles of depth-first fusion.
    """

    scratchpad: int = parameter(0, "on-chip memory per compute unit; 0: the device's", unit="byte", least=0, most=2**40)
    strategy: str = parameter("best", "what happens to the halo of a tile", choices=tuple(STRATEGIES))
    blocks: int = parameter(1, "most blocks that one kernel joins, depth first", least=1, most=16)
    rows: int = parameter(0, "rows of a tile; 0: searched", least=0, most=2**16)
    columns: int = parameter(0, "columns of a tile; 0: searched", least=0, most=2**16)
    channels: int = parameter(0, "channels worked on at a time; 0: as many as fit", least=0, most=2**16)

    name = "block-fusion"
    reference = "arXiv 2404.03617"

    def requires(self, plan: Plan, context: Context) -> str | None:
        """There must be a block that fits on chip; whether fusing it gains depends on the stack, and is a remark."""
        if context.stack.tiles:
            return f"the stack {context.stack.key} cuts every layer into tiles itself; use one that relies on caches"
        if not self.scratchpad and scratchpad_of(context.system.device) is None:
            return f"no source gives the scratchpad of {context.system.device.key}; state scratchpad=<bytes>"
        if not any(isinstance(op, Conv) for phase in plan.phases for op in phase.graph.operators):
            return _NO_CHAIN
        found = [self._fused(phase.graph, context) for phase in plan.phases]
        if any(fused.fitting or fused.graph.kernels for fused in found):
            return None
        reasons = list(dict.fromkeys(reason for fused in found for reason in fused.reasons))
        return _several(reasons) if reasons else _NO_CHAIN

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        fused = self._fused(graph, context)
        remarks = (f"block-fusion: {_several(fused.reasons)}",) if fused.reasons else ()
        known = set(fused.graph.remarks)
        return replace(fused.graph, remarks=(*fused.graph.remarks, *(r for r in remarks if r not in known)))

    def _fused(self, graph: OperatorGraph, context: Context) -> Fused:
        if any(is_array(n) for tensor in graph.tensors.values() for n in tensor.shape):
            raise InputError("block-fusion: tiles are planned for one size at a time; predict the points one by one")
        device = context.system.device
        known = scratchpad_of(device)
        capacity, count, where = known if known is not None else (0, 1, "")
        size, label = (self.scratchpad, "stated scratchpad") if self.scratchpad else (capacity, f"{device.key} {where}")
        limits = Limits(size, count, STRATEGIES[self.strategy], self.rows, self.columns, self.channels)
        return fused_graph(graph, context.system, context.stack, Settings(limits, label, self.blocks))


_NO_CHAIN = "it has no chain of convolutions that one kernel could run"


def _several(reasons: tuple[str, ...] | list[str]) -> str:
    """The first reasons, and how many more there are."""
    shown = "; ".join(reasons[:3])
    return f"{shown}; and {len(reasons) - 3} more" if len(reasons) > 3 else shown
