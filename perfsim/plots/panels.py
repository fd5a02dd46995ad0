"""Several panels in one figure: views of one result above each other, results side by side or below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["stacked"]


def stacked(
    figure: Any, results: Sequence[Any], draws: Sequence[Callable[..., Any]], *, one_legend: bool = False
) -> list[Any]:
    """One panel per result and way to draw it, one below the other; the result is their axes.

    Of several ways to draw one result, the first carries the title; one_legend: the last one's legend explains all.
    Several panels are drawn twice: labels go where there is room, which is only known when all panels have theirs.
    """
    axes = _panels(figure, results, draws, one_legend)
    if len(axes) > 1:
        figure.get_layout_engine().execute(figure)
        places = [ax.get_position() for ax in axes]
        figure.clear()
        figure.set_layout_engine("none")
        axes = _panels(figure, results, draws, one_legend, places)
    return axes


def _panels(
    figure: Any, results: Sequence[Any], draws: Sequence[Callable[..., Any]], one_legend: bool,
    places: Sequence[Any] = (),
) -> list[Any]:  # fmt: skip
    """All panels, at ``places`` if they are given."""
    axes = figure.subplots(len(results) * len(draws), 1, squeeze=False)[:, 0]
    for ax, place in zip(axes, places, strict=False):
        ax.set_position(place)
    for index, result in enumerate(results):
        panels = axes[index * len(draws) : (index + 1) * len(draws)]
        for ax, draw in zip(panels, draws, strict=True):
            draw(result, ax=ax)
        for ax in panels[1:]:
            ax.set_title("", loc="left")
        for ax in panels[:-1] if one_legend else ():
            legend = ax.get_legend()
            if legend is not None and not legend.get_title().get_text():  # a title is a note of this view alone
                legend.remove()
    return list(axes)
