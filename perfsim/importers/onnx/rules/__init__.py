"""Cost rules by operator, one file per group of operators; every file of this folder is read.

A rule gets a :class:`perfsim.importers.onnx.node.Node` and returns the values of its outputs: one, or a list.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perfsim.importers.onnx.node import Node

__all__ = ["MICROSOFT", "Rule", "rule", "rules"]

MICROSOFT = "com.microsoft"

Function = Callable[["Node"], Any]


@dataclass(frozen=True)
class Rule:
    """function: the rule; low: ``matrix`` works on quantised features and weights, ``move`` on whatever it is given,
    ``pointwise`` on quantised features if the result is quantised again, ``""`` on full numbers only; own_shapes: the
    rule derives the outputs' types itself.
    """

    function: Function
    low: str = "pointwise"
    own_shapes: bool = False


_RULES: dict[tuple[str, str], Rule] = {}


def rule(
    *names: str, domain: str = "", low: str = "pointwise", own_shapes: bool = False
) -> Callable[[Function], Function]:
    """Register a function as the rule of the operators ``names``."""

    def register(function: Function) -> Function:
        for name in names:
            _RULES[domain, name] = Rule(function, low, own_shapes or domain == MICROSOFT)
        return function

    return register


@lru_cache(maxsize=1)
def rules() -> dict[tuple[str, str], Rule]:
    """All rules, by domain and operator."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return _RULES
