"""Attention and its cache: kernels, sparse patterns, eviction, sharing, conversion, reuse."""
