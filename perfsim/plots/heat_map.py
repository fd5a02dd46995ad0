"""A metric of a sweep over two of its axes, with lines of equal value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perfsim.errors import InputError
from perfsim.plots.frame import captioned, small
from perfsim.plots.style import canvas, figure_of
from perfsim.plots.sweep_frame import numbers_along, quantity, short, spaced, variable
from perfsim.sweeps.metrics import METRICS

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

__all__ = ["SIZE", "heat_map", "heat_map_data"]

SIZE = (6.0, 4.2)
"""Size of a figure of its own [inch]."""


def heat_map_data(result: xarray.Dataset, metric: str, x: str, y: str) -> dict[str, Any]:
    """What :func:`heat_map` draws: values along both axes, the metric by row of ``y``, and whether points fit.

    Raises
    ------
    UnknownNameError, InputError
        for names that are not there, or further dimensions that are not selected.
    """
    field = variable(result, metric)
    rest = [str(d) for d in field.dims if d not in (x, y) and field.sizes[d] > 1]
    if rest or x == y:
        named = ", ".join(rest) or "two axes"
        raise InputError(f"heat map over {x} and {y}: {named} must be selected first, e.g. sel()")
    known = result.squeeze([d for d in field.dims if d not in (x, y)])
    (across, _), (up, _) = numbers_along(result, x), numbers_along(result, y)
    fits = known["fits"].transpose(y, x).values.tolist() if "fits" in known else None
    values = known[metric].transpose(y, x).values.astype(float).tolist()
    return {"x": across.tolist(), "y": up.tolist(), "values": values, "fits": fits}


def heat_map(
    result: xarray.Dataset, metric: str, x: str, y: str, *, lines: int | list[float] = 6, ax: Axes | None = None
) -> Axes:
    """Draw ``metric`` as colours over two axes of a sweep with lines of equal value; hatched where it does not fit.

    lines: how many lines, or their values in SI units.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or a new one.

    Raises
    ------
    UnknownNameError, InputError
        as :func:`heat_map_data`.
    """
    import numpy as np

    data = heat_map_data(result, metric, x, y)
    ax, look = canvas(ax, SIZE)
    across, up = (quantity(name, numbers_along(result, name)[1], data[axis]) for axis, name in (("x", x), ("y", y)))
    field = quantity(metric, METRICS[metric].unit, data["values"])
    shown = np.ma.masked_invalid(field.values)
    wide = bool(shown.min() > 0 and shown.max() / shown.min() > 8)
    _coloured(ax, across.values, up.values, shown, wide, field.label)
    ax.set(xscale=spaced(across.values), yscale=spaced(up.values), xlabel=across.label, ylabel=up.label)
    if min(shown.shape) > 1 and shown.max() > shown.min():
        levels = _levels(shown, wide, lines) if isinstance(lines, int) else np.array(lines) / field.factor
        drawn = ax.contour(across.values, up.values, shown, levels=levels, colors="white", linewidths=0.9)
        ax.clabel(drawn, fmt="%.3g", fontsize=small())
    outside = data["fits"] is not None and not np.all(data["fits"])
    if outside:
        _hatched(ax, across.values, up.values, ~np.array(data["fits"]), look.ink)
    captioned(ax, look, f"{short(metric)}{'; hatched: does not fit' if outside else ''}")
    return ax


def _coloured(ax: Axes, across: Any, up: Any, shown: Any, wide: bool, label: str) -> None:
    """Cells in the colour of their value, and a bar that says which is which; wide: logarithmic colours."""
    from matplotlib.colors import LogNorm, Normalize

    norm = (LogNorm if wide else Normalize)(float(shown.min()), float(shown.max()))
    mesh = ax.pcolormesh(across, up, shown, shading="nearest", cmap="cividis", norm=norm, rasterized=True)
    bar = figure_of(ax).colorbar(mesh, ax=ax, label=label)
    bar.outline.set_visible(False)


def _levels(shown: Any, wide: bool, count: int) -> Any:
    """Round values between the smallest and the largest: about ``count``, or 1, 2 and 5 times the powers of ten."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    locator = LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(count)
    return locator.tick_values(shown.min(), shown.max())


def _hatched(ax: Axes, across: Any, up: Any, cells: Any, ink: Any) -> None:
    """Hatch the cells around some points of the grid."""
    import numpy as np
    from matplotlib.collections import PolyCollection

    xs, ys = _borders(across), _borders(up)
    corners = [
        [(xs[i], ys[j]), (xs[i + 1], ys[j]), (xs[i + 1], ys[j + 1]), (xs[i], ys[j + 1])] for j, i in np.argwhere(cells)
    ]
    ax.add_collection(PolyCollection(corners, facecolor="none", edgecolor=ink, linewidth=0.0, hatch="////"))


def _borders(values: Any) -> Any:
    """Borders of the cells around values, half-way between neighbours, as ``pcolormesh`` sets them."""
    import numpy as np

    if len(values) == 1:
        return np.array([values[0] - 0.5, values[0] + 0.5])
    half = np.diff(values) / 2
    return np.concatenate([[values[0] - half[0]], values[:-1] + half, [values[-1] + half[-1]]])
