"""What is said of techniques that changed nothing."""

from __future__ import annotations

from perfsim.techniques.base import Technique

__all__ = ["idle_remark"]


def idle_remark(technique: Technique) -> str:
    """One line for the reader: what makes the technique the identity, or that there was nothing to act on."""
    if technique.is_neutral and technique.neutral:
        stated = ", ".join(f'{name}={at if at != "" else chr(34) * 2}' for name, at in technique.neutral.items())
        return f"{technique.name} changes nothing: {stated} is neutral; state another {_names(technique)}"
    return f"{technique.name} changes nothing: it found nothing to act on"


def _names(technique: Technique) -> str:
    return " or ".join(technique.neutral or ())
