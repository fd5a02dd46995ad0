"""Fusing blocks of convolutions into kernels that work tile by tile: which blocks, which tiles, and at what price."""

from perfsim.costs.fusion.chain import Chain, Cut, Stage, blocks_of
from perfsim.costs.fusion.rewrite import Fused, Settings, fused_graph
from perfsim.costs.fusion.search import Limits, Search, search

__all__ = ["Chain", "Cut", "Fused", "Limits", "Search", "Settings", "Stage", "blocks_of", "fused_graph", "search"]
