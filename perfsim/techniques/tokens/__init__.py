"""Fewer tokens: pruning, merging, compression of prompts and of what a vision encoder sees."""
