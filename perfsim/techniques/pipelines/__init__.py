"""Techniques for what surrounds a network: retrieval, stages on the host, frames of a stream."""
