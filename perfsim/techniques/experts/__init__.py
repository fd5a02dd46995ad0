"""Mixtures of experts: how many are used, how many there are, where they lie, and adapters that are experts."""
