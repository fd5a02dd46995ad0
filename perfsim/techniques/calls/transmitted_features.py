"""Feature maps that are sent to another machine."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.graph import OperatorGraph
from perfsim.techniques.base import Context, OptionalRewrite, parameter
from perfsim.workloads import Phase, Plan

__all__ = ["TransmittedFeatures", "message_bytes"]


def message_bytes(*, cells: int, share: float, channels: int, bits: float, boxes: int = 0) -> float:
    """Bytes of one message [byte]: cells·share·(channels·bits + index bits)/8 + 32 per box.

    cells: cells of the map; share: those that are sent [1]; bits: per number [bit]. The index of a cell takes
    ⌈log₂ cells⌉ bits and is left out if all cells are sent; a box is seven numbers and a score of 4 byte each.
    """
    index = math.ceil(math.log2(cells)) if share < 1 and cells > 1 else 0
    return cells * share * (channels * bits + index) / 8 + 32 * boxes


@dataclass(frozen=True, kw_only=True)
class TransmittedFeatures(OptionalRewrite):
    """Several agents send cells of their feature maps over a link; the result waits for the messages.

    Only the ``share`` of the cells that one agent can supply and another needs is sent, with its positions; ``boxes``
    are results of late stages, which take little room. The ``agents`` other machines share the link, so that the wait
    is latency + agents·bytes / bandwidth per input. Left out: fusing what arrived, a few operations per number.

    References
    ----------
    .. [1] J. Xu et al., "CoSDH: Communication-Efficient Collaborative Perception via Supply-Demand Awareness and
       Intermediate-Late Hybridization", arXiv 2503.03430. [2] Y. Hu et al., "Where2comm", arXiv 2209.12836.
    """

    cells: int = parameter(0, "cells of a feature map; 0 for nothing to send", least=0, most=10**9)
    channels: int = parameter(64, "numbers per cell", least=1, most=10**6)
    share: float = parameter(1.0, "cells that are sent", least=0.0, most=1.0)
    bits: float = parameter(32.0, "width of a number", unit="bit", least=1.0, most=64.0)
    boxes: int = parameter(0, "results of late stages in a message", least=0, most=10**6)
    agents: int = parameter(1, "other machines that send", least=0, most=10**4)
    bandwidth: float = parameter(1e7, "rate of the link that all share", unit="byte/s", least=1.0, most=1e15)
    latency: float = parameter(0.0, "latency of the link", unit="s", least=0.0, most=3600.0)

    name = "transmitted-features"
    reference = "arXiv 2503.03430"
    idempotent = False
    neutral = {"cells": 0}

    def apply(self, plan: Plan, context: Context) -> Plan:
        size = message_bytes(
            cells=self.cells, share=self.share, channels=self.channels, bits=self.bits, boxes=self.boxes
        )
        wait = self.latency + plan.job.batch * self.agents * size / self.bandwidth
        stage = plan.phases[-1].stage
        return plan.replace(phases=(*plan.phases, Phase(f"{stage}/link", OperatorGraph((), {}), 1, 0, 0, delay=wait)))
