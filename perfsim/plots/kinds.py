"""Kinds of kernels in groups, each with one colour in every figure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from perfsim.ops.elementwise import FUNCTIONS
from perfsim.plots.style import COLOURS, Look

__all__ = ["GROUPS", "OTHER", "group_colour", "group_of", "groups_in"]

OTHER = "layout and other"
"""The group of kinds that no other group names: data movement, pooling, sampling."""

GROUPS: Mapping[str, tuple[int | None, tuple[str, ...]]] = MappingProxyType(
    {
        "matrix product": (0, ("linear", "matmul", "head-linear", "sparse-product")),
        "convolution": (4, ("conv", "transposed-conv", "fft", "fft-conv")),
        "fused block": (8, ("fused-block",)),
        "depthwise, grouped": (7, ("depthwise-conv", "grouped-conv", "causal-conv")),
        "attention, scan": (1, (
            "attention", "scores", "softmax", "values", "key-value-sum", "linear-read", "relative-logits",
            "scan", "chunked-scan", "recurrent", "lstm", "gru",
        )),
        "experts": (6, ("experts", "top-k", "combine")),
        "norm": (2, ("norm", "batch-norm", "batch-moments", "group-norm", "response-norm")),
        "element-wise": (3, ("elementwise", "dropout", "update", "cross-entropy", *FUNCTIONS)),
        OTHER: (5, ()),
        "link": (None, ("collective", "all-reduce", "all-gather", "send-receive", "reduce-scatter", "all-to-all")),
        "pipeline bubble": (None, ("bubble",)),
        "host": (None, ("host",)),
    }
)  # fmt: skip
"""Group → index of its colour (None: a grey) and its kinds, in the order of legends."""

_GROUP_OF = {kind: group for group, (_, kinds) in GROUPS.items() for kind in kinds}


_GREYS: Mapping[str, Callable[[Look], Any]] = MappingProxyType(
    {"link": lambda look: look.far, "pipeline bubble": lambda look: look.idle, "host": lambda look: look.faint}
)
"""Greys of the groups without a colour."""


def group_of(kind: str) -> str:
    """Group of a kind of kernel; a backward kernel is in that of its operator."""
    return _GROUP_OF.get(kind.removesuffix("-backward"), OTHER)


def group_colour(group: str, look: Look) -> Any:
    """Colour of a group, the same in every figure of a look."""
    from matplotlib.colors import to_rgb

    index = GROUPS[group][0]
    if index is None:
        return to_rgb(_GREYS[group](look))
    return look.shade(COLOURS[index])


def groups_in(kinds: Iterable[str]) -> tuple[str, ...]:
    """Groups of some kinds, in the order of legends."""
    there = {group_of(kind) for kind in kinds}
    return tuple(group for group in GROUPS if group in there)
