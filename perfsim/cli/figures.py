"""The figures of ``perfsim plot``: what each takes, and drawing one into bytes."""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from perfsim.errors import InputError, UnknownNameError

__all__ = ["FIGURES", "FORMATS", "SIZES", "Figure", "drawn", "format_of", "plotted"]

FORMATS = ("png", "svg", "pdf")

SIZES = ("column", "page", "notebook")
"""Names of sizes; ``perfsim.plots.style`` says how wide they are."""

RESOLUTION = 160
"""Dots per inch of a PNG."""

LEAST_HEIGHT = 0.8
"""Least height of a panel over its usual one [1]: titles and legends take no less room in a narrow figure."""

_UNDATED: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
)
"""Metadata that would make two runs differ."""


@dataclass(frozen=True)
class Figure:
    """A kind of figure. ``perfsim.plots.<module>`` offers the function of that name, ``<module>_data``, and ``SIZE``.

    help: one line; views: names in its ``VIEWS``, drawn below each other; together: whether all predictions share one
    panel; rated: whether accuracies belong to it; bare: whether devices alone make it, too; one_legend: whether the
    legend of the last view explains all; over_devices: the view that shows one model on several devices in one panel;
    sizes: those in which its labels have room.
    """

    module: str
    help: str
    views: tuple[str, ...] = ()
    together: bool = False
    rated: bool = False
    bare: bool = False
    one_legend: bool = False
    over_devices: str | None = None
    sizes: tuple[str, ...] = SIZES


FIGURES: Mapping[str, Figure] = MappingProxyType(
    {
        "roofline": Figure(
            "roofline", "memory levels and compute peaks of devices, kernels of a prediction as points",
            together=True, bare=True, sizes=("page", "notebook"),
        ),
        "waterline": Figure(
            "waterline", "kernels as bars of traffic × operational intensity, and of time × efficiency",
            views=("traffic", "time"), one_legend=True, over_devices="traffic",
        ),
        "efficiency-gap": Figure(
            "efficiency_gap", "ideal and predicted latency of models against their accuracy", together=True, rated=True
        ),
        "memory": Figure("memory_timeline", "what fills the memory of a device over time"),
        "breakdown": Figure(
            "breakdown", "runtime by kind of operator, by bound and by phase", views=("kind", "bound", "phase"),
            together=True,
        ),
        "pareto": Figure(
            "pareto", "accuracy against time, and the models that no other beats in both", together=True, rated=True
        ),
    }
)  # fmt: skip
"""Figures of the command line by name."""


def format_of(output: str) -> str:
    """Format of the file to write, from its suffix.

    Raises
    ------
    InputError
        for any other suffix.
    """
    suffix = Path(output).suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise InputError(f'-o {output}: "{suffix}" is not a format of figures; expected one of {", ".join(FORMATS)}')
    return suffix


def plotted(figure: Figure, results: Sequence[Any]) -> dict[str, Any]:
    """The data of a figure: of one result, or of several under ``predictions``."""
    data = getattr(_module(figure), f"{figure.module}_data")
    if figure.rated:
        return dict(data(list(results)))
    if len(results) == 1:
        return dict(data(results[0]))
    return dict(data(list(results))) if figure.together else {"predictions": [data(result) for result in results]}


def drawn(
    figure: Figure, results: Sequence[Any], *, kind: str, dark: bool, size: str | None = None, view: str | None = None
) -> bytes:
    """Bytes of the figure in the format ``kind``; no window system is touched, the same results give the same bytes.

    Raises
    ------
    UnknownNameError
        for a view that the figure does not have.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Drawing

    from perfsim.plots.panels import stacked
    from perfsim.plots.style import DARK, LIGHT

    module = _module(figure)
    draws = _draws(figure, module, view)
    panels = _panels(figure, results, view)
    width, height, font = _size(module.SIZE, size)
    rows = getattr(module, "ROW", 0.0) * (len(results) - 1)
    height = (height + rows) * len(panels) * len(draws)
    settings: Any = {**(DARK if dark else LIGHT), **font}
    buffer = io.BytesIO()
    with rc_context(settings):
        drawing = Drawing(figsize=(width, height), layout="constrained")
        stacked(drawing, panels, draws, one_legend=figure.one_legend)
        drawing.savefig(buffer, format=kind, dpi=RESOLUTION, metadata={**_UNDATED[kind]})
    return buffer.getvalue()


def _module(figure: Figure) -> Any:
    return importlib.import_module(f"perfsim.plots.{figure.module}")


def _draws(figure: Figure, module: Any, view: str | None) -> list[Any]:
    if view is None:
        return list(module.VIEWS.values()) if figure.views else [getattr(module, figure.module)]
    if view not in figure.views:
        raise UnknownNameError("view", view, figure.views)
    return [module.VIEWS[view]]


def _panels(figure: Figure, results: Sequence[Any], view: str | None) -> list[Any]:
    """What each panel shows: all results, one each, or the devices of one model where a view can hold them."""
    if figure.rated:
        return [list(results)]
    if figure.together:
        return [results[0] if len(results) == 1 else list(results)]
    if view is not None and view == figure.over_devices:
        models: dict[str, list[Any]] = {}
        for result in results:
            models.setdefault(result.model.name, []).append(result)
        return list(models.values())
    return list(results)


def _size(usual: tuple[float, float], size: str | None) -> tuple[float, float, dict[str, float]]:
    """Width and height of one panel [inch], and the font that goes with a named size."""
    from perfsim.plots.style import SIZES as WIDTHS

    if size is None:
        return (*usual, {})
    width, font = WIDTHS[size]
    height = usual[1] * max(width / usual[0], LEAST_HEIGHT)
    return width, height, {"font.size": font}
