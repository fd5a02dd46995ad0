"""Colours, fonts and axes that all figures share; light or dark follows the axes that are drawn on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "COLOURS", "DARK", "LIGHT", "SIZES", "Look", "canvas", "extent_of", "figure_of", "laid_out", "look_of",
]  # fmt: skip

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#882255", "#f0e442")
"""Colours that people with a colour vision deficiency can tell apart (Okabe and Ito first)."""

_COMMON: Mapping[str, Any] = MappingProxyType(
    {"font.size": 9.0, "axes.titlesize": 10.0, "svg.hashsalt": "perfsim", "legend.frameon": False}
)
LIGHT: Mapping[str, Any] = MappingProxyType({**_COMMON})
"""Matplotlib settings of the light style."""

_PAPER, _INK = "#16181d", "#e8e8e8"
DARK: Mapping[str, Any] = MappingProxyType(
    {
        **_COMMON,
        **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), _PAPER),
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK),
    }
)
"""Matplotlib settings of the dark style."""


SIZES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"column": (3.3, 7.0), "page": (7.0, 8.0), "notebook": (9.0, 10.0)}
)
"""Name of a size → width of the figure [inch] and font size [pt]: a column or the width of a printed page, a screen."""


@dataclass(frozen=True)
class Look:
    """Colours of a figure: paper, ink for text, faint for lines in the back; whether it is dark."""

    paper: Any
    ink: Any
    faint: Any
    dark: bool

    @property
    def water(self) -> str:
        """Fill of what is submerged."""
        return "#1d4258" if self.dark else "#cfe9f7"

    @property
    def deep(self) -> str:
        """Lines and texts that belong to the water."""
        return "#7cc7ee" if self.dark else "#0b5c8a"

    @property
    def loss(self) -> str:
        """Fill of time that is neither computing nor moving."""
        return "#3a3d44" if self.dark else "#dcdcdc"

    @property
    def far(self) -> str:
        """Fill of communication: neither a kind of kernel nor the host."""
        return "#c4c8cf" if self.dark else "#35383d"

    @property
    def idle(self) -> str:
        """Fill of time in which a device waits for others."""
        return "#55585f" if self.dark else "#b3b3b3"

    def over(self, fill: Any) -> Any:
        """Black or white, whichever is readable on ``fill``."""
        red, green, blue = fill if isinstance(fill, tuple) else (0.5, 0.5, 0.5)
        return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.45 else "#ffffff"

    def shade(self, colour: str) -> Any:
        """``colour``, lighter on dark paper."""
        from matplotlib.colors import to_rgb

        return tuple(0.45 + 0.55 * part for part in to_rgb(colour)) if self.dark else to_rgb(colour)


def look_of(ax: Axes) -> Look:
    """The look that fits the paper of ``ax``."""
    from matplotlib.colors import to_rgb, to_rgba

    paper = to_rgba(ax.get_facecolor())
    rgb = to_rgb(paper) if paper[3] else to_rgb(figure_of(ax).get_facecolor())
    dark = sum(rgb) < 1.5
    return Look(rgb, _INK if dark else "#111111", "#8a8f98" if dark else "#6b6b6b", dark)


def figure_of(ax: Axes) -> Any:
    """The whole figure that ``ax`` is in, also if it is in a part of one."""
    figure: Any = ax.get_figure()
    return figure.figure


def canvas(ax: Axes | None, size: tuple[float, float]) -> tuple[Any, Look]:
    """How every figure begins: the axes to draw on, ``ax`` or those of a new figure, and their look; size: [inch]."""
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(figsize=size, layout="constrained")
    return ax, look_of(ax)


def laid_out(ax: Axes) -> None:
    """Let the axes take the room that all that is drawn so far leaves them."""
    figure = figure_of(ax)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)


def extent_of(ax: Axes) -> tuple[float, float]:
    """Width and height of the axes [pt], as they were laid out last."""
    window, dpi = ax.get_window_extent(), figure_of(ax).dpi
    return float(window.width * 72 / dpi), float(window.height * 72 / dpi)
