"""Techniques of training: what is saved, what is computed again, what replicas share out."""
