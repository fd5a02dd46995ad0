"""Small trained parts beside the frozen weights: low-rank pairs, bottlenecks, vectors; for one task or many."""
