"""Pareto fronts: the points that no other point beats in everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perfsim.errors import InputError, UnknownNameError
from perfsim.sweeps.metrics import METRICS

if TYPE_CHECKING:
    import xarray

__all__ = ["front", "pareto", "senses"]

BLOCK = 4096
"""Points that are compared with the front at once [1]."""


def senses(objectives: tuple[str, ...]) -> list[int]:
    """1 for objectives that should be small, -1 for those that should be large."""
    return [-1 if name in METRICS and METRICS[name].larger_is_better else 1 for name in objectives]


def front(values: Any) -> Any:
    """Mask of the points that no other one dominates; smaller is better in every column; NaN is never on the front.

    values: (points, objectives). A point dominates another if it is nowhere worse and somewhere better; equal points
    stay together. Two objectives take O(n log n), more of them O(n · front).

    References
    ----------
    .. [1] H. Kung, F. Luccio, F. Preparata, J. ACM 22(4), 1975.
    """
    import numpy as np

    values = np.asarray(values, dtype=float)
    mask = np.zeros(len(values), dtype=bool)
    known = np.flatnonzero(~np.isnan(values).any(axis=1))
    if not len(known):
        return mask
    unique, back = np.unique(values[known], axis=0, return_inverse=True)
    kept = _staircase(unique) if unique.shape[1] == 2 else _filtered(unique)
    mask[known] = kept[back.ravel()]
    return mask


def _staircase(points: Any) -> Any:
    """Two objectives, sorted by the first one: the second one has to fall."""
    import numpy as np

    before = np.concatenate([[np.inf], np.minimum.accumulate(points[:-1, 1])])
    return points[:, 1] < before


def _filtered(points: Any) -> Any:
    """Any number of objectives, different points in rising order: only earlier points can dominate later ones."""
    import numpy as np

    kept = np.zeros(len(points), dtype=bool)
    found = points[:0]
    for start in range(0, len(points), BLOCK):
        block = points[start : start + BLOCK]
        alive = np.ones(len(block), dtype=bool)
        for best in found:
            alive &= ~(best <= block).all(axis=1)
        for i in range(len(block)):
            if alive[i]:
                worse = (block[i] <= block).all(axis=1)
                worse[i] = False
                alive &= ~worse
        kept[start : start + BLOCK] = alive
        found = np.concatenate([found, block[alive]])
    return kept


def pareto(dataset: xarray.Dataset, *objectives: str, fitting: bool = True) -> xarray.Dataset:
    """The points of a sweep on the Pareto front of ``objectives``, along one dimension ``point``.

    Each objective is made small or large as is good for it (``throughput`` large, ``cost`` small); fitting: only
    points that fit the memory.

    Raises
    ------
    UnknownNameError, InputError
        for an unknown variable, or fewer than two of them.
    """
    import numpy as np

    if len(objectives) < 2:
        raise InputError(f"pareto: {', '.join(objectives) or 'no objective'}; state two or more")
    for name in objectives:
        if name not in dataset:
            raise UnknownNameError("objective", name, [str(v) for v in dataset.data_vars])
    dims = list(dataset.dims)
    columns = [np.ravel(dataset[name].transpose(*dims).values) for name in objectives]
    values = np.stack(columns, axis=1) * np.array(senses(objectives))
    if fitting and "fits" in dataset:
        values[~np.ravel(dataset["fits"].transpose(*dims).values)] = np.nan
    chosen = np.flatnonzero(front(values))
    places = np.unravel_index(chosen, [dataset.sizes[d] for d in dims])
    import xarray

    return dataset.isel({d: xarray.DataArray(p, dims="point") for d, p in zip(dims, places, strict=True)})
