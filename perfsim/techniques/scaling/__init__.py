"""Techniques that spend more work on an answer: samples, revisions, thought."""
