"""Number formats: fewer bits for weights, activations and caches."""
