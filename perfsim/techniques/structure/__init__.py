"""Smaller and shared structures: pruned widths and layers, contextual sparsity, shared weights, stitched networks."""
