"""Weights or units that are left out."""
