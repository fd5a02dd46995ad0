"""A metric of a sweep over two of its axes, with lines of equal value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perfsim.errors import InputError
from perfsim.plots.frame import small, titled
from perfsim.plots.style import figure_of, look_of, new_axes
from perfsim.plots.sweep_frame import heading, numbers_along, short, spaced, variable
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
    from matplotlib.colors import LogNorm, Normalize

    data = heat_map_data(result, metric, x, y)
    ax = new_axes(SIZE) if ax is None else ax
    look = look_of(ax)
    values = np.ma.masked_invalid(data["values"])
    units = [numbers_along(result, name)[1] for name in (x, y)]
    (x_label, x_scale), (y_label, y_scale), (label, scale) = (
        heading(name, unit, largest)
        for name, unit, largest in zip(
            (x, y, metric),
            (*units, METRICS[metric].unit),
            (max(data["x"]), max(data["y"]), float(values.max())),
            strict=True,
        )
    )
    across, up = np.array(data["x"]) / x_scale.factor, np.array(data["y"]) / y_scale.factor
    shown = values / scale.factor
    wide = bool(shown.min() > 0 and shown.max() / shown.min() > 8)
    norm = (LogNorm if wide else Normalize)(float(shown.min()), float(shown.max()))
    mesh = ax.pcolormesh(across, up, shown, shading="nearest", cmap="cividis", norm=norm, rasterized=True)
    bar = figure_of(ax).colorbar(mesh, ax=ax, label=label)
    bar.outline.set_visible(False)
    ax.set_xscale(spaced(across))
    ax.set_yscale(spaced(up))
    if min(shown.shape) > 1 and shown.max() > shown.min():
        levels = _levels(shown, wide, lines) if isinstance(lines, int) else np.array(lines) / scale.factor
        drawn = ax.contour(across, up, shown, levels=levels, colors="white", linewidths=0.9)
        ax.clabel(drawn, fmt="%.3g", fontsize=small())
    if data["fits"] is not None and not np.all(data["fits"]):
        _hatched(ax, across, up, ~np.array(data["fits"]), look.ink)
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    hatched = "" if data["fits"] is None or np.all(data["fits"]) else "; hatched: does not fit"
    titled(ax, f"{short(metric)}{hatched}", look=look)
    return ax


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
