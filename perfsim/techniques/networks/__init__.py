"""Building blocks that published networks bring."""
