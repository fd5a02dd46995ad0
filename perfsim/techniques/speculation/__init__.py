"""Techniques that guess tokens or steps and check them in one pass."""
