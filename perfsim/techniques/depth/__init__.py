"""Techniques by which not every input takes every layer or the largest network."""
