"""Fusing blocks of convolutions into kernels that work tile by tile: which blocks, which tiles, and at what price."""

from perfsim.costs.fusion.rewrite import Settings, fused_graph

__all__ = ["Settings", "fused_graph"]
