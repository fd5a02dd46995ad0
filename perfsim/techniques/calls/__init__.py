"""Tasks that are many calls of a network, and what comes between the calls."""
