"""Making a network larger: how width, depth and resolution share a growth of the work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perfsim.errors import InputError
from perfsim.quantities.numbers import Number, power

__all__ = [
    "Multipliers",
    "activation_growth",
    "check_multipliers",
    "compound_scaling",
    "scaled_fields",
    "scaled_number",
]

_LEAST, _MOST = 0.01, 100.0


@dataclass(frozen=True)
class Multipliers:
    """Factors of channels, blocks per stage and pixels per side [1]; work grows by depth · width² · resolution²."""

    width: Number = 1.0
    depth: Number = 1.0
    resolution: Number = 1.0


def compound_scaling(*, growth: Number, width_share: Number = 0.8, depth_share: Number | None = None) -> Multipliers:
    """Multipliers that grow the work of a network by ``growth`` [1].

    growth: s, of multiply-accumulates [1]; width_share, depth_share: of log s that width and depth make, the rest is
    the resolution's; depth_share is half of what width leaves if None. Since work is proportional to depth, width² and
    resolution²: depth s^depth_share, width s^(width_share/2), resolution s^((1 − width_share − depth_share)/2).
    ``width_share`` 0.8 is fast compound scaling, 1/3 uniform compound scaling, 1 scales width alone.

    References
    ----------
    .. [1] P. Dollár, M. Singh, R. Girshick, "Fast and Accurate Model Scaling", arXiv 2103.06877, section 4.
    """
    depth = (1 - width_share) / 2 if depth_share is None else depth_share
    rest = 1 - width_share - depth
    return Multipliers(power(growth, width_share / 2), power(growth, depth), power(growth, rest / 2))


def activation_growth(*, growth: Number, width_share: Number = 0.8) -> Number:
    """Factor by which activations grow with the work [1]: s^(1 − width_share/2).

    Activations are proportional to depth, width and resolution², so width alone makes them grow by √s and
    depth or resolution alone by s; runtimes on memory-bound devices follow activations more than work.

    References
    ----------
    .. [1] P. Dollár, M. Singh, R. Girshick, "Fast and Accurate Model Scaling", arXiv 2103.06877, section 4.
    """
    return power(growth, 1 - width_share / 2)


def scaled_number(value: int, factor: float, multiple: int = 1) -> int:
    """``value`` times ``factor``: the nearest multiple of ``multiple``, at least one; as it is for factor 1."""
    return value if factor == 1 else max(1, round(value * factor / multiple)) * multiple


def scaled_fields(model: Any, names: tuple[str, ...], factor: float, multiple: int = 1) -> dict[str, Any]:
    """The named whole numbers (or lists of them) of ``model`` times ``factor``."""
    values = {name: getattr(model, name) for name in names}
    return {
        name: tuple(scaled_number(v, factor, multiple) for v in value)
        if isinstance(value, tuple)
        else scaled_number(value, factor, multiple)
        for name, value in values.items()
    }


def check_multipliers(name: str, multipliers: Multipliers) -> None:
    """Refuse factors that are no numbers, or beyond reason.

    Raises
    ------
    InputError
        with the factor, its range and the model.
    """
    for what, value in vars(multipliers).items():
        right = isinstance(value, int | float) and not isinstance(value, bool) and _LEAST <= value <= _MOST
        if not right:
            raise InputError(f"{name}: {what}={value!r}: expected a factor from {_LEAST} to {_MOST:g}")
