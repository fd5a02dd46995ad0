"""What-ifs on the model itself: width, depth, resolution and growth of a vision network, and ``model.axis.NAME`` of an
imported graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfsim.architectures import Model, VisionModel
from perfsim.architectures.vision import compound_scaling
from perfsim.errors import InputError, UnknownNameError, checked_type
from perfsim.importers.onnx import OnnxModel

__all__ = ["PREFIX", "scaled_model"]

PREFIX = "model."
"""Start of the paths that change the model."""

AXIS = "model.axis."
"""Start of the paths that bind an open axis of an imported graph."""

FACTORS = ("width", "depth", "resolution", "growth")
"""``growth`` is one of the work, which fast compound scaling turns into the other three."""


def scaled_model(model: Model, changes: Mapping[str, Any]) -> tuple[Model, dict[str, Any]]:
    """The model with the factors of ``changes`` applied, and the changes that are not about the model.

    A factor is a number such as ``1.2``, or a text such as ``"1.2"`` or ``"x1.2"``: all are multipliers of the
    model's own width, depth and resolution, or of its work (``model.growth``: fast compound scaling).

    Raises
    ------
    UnknownNameError, InputError
        for an unknown path, a value that is no factor, or a model that cannot be scaled.
    """
    checked_type("what_if", changes, Mapping, 'quantities by path, e.g. {"stack.kernel_launch": "x0.5"}')
    axes = {path.removeprefix(AXIS): value for path, value in changes.items() if path.startswith(AXIS)}
    if axes:
        model = _bound(model, axes)
        changes = {path: value for path, value in changes.items() if not path.startswith(AXIS)}
    rest = {path: value for path, value in changes.items() if not path.startswith(PREFIX)}
    factors = {
        _factor_name(path): _factor(path, value) for path, value in changes.items() if path.startswith(PREFIX)
    }
    if not factors:
        return model, rest
    if not isinstance(model, VisionModel):
        paths = " and ".join(PREFIX + name for name in factors)
        raise InputError(f"{paths}: {model.name} is a {model.family}, expected a vision network; leave it out")
    growth = factors.pop("growth", 1.0)
    if not growth > 0:
        raise InputError(f"{PREFIX}growth={growth}: expected a factor above 0")
    multipliers = compound_scaling(growth=growth)
    together = {name: value * factors.get(name, 1.0) for name, value in vars(multipliers).items()}
    return model.scaled(**together), rest


def _bound(model: Model, axes: Mapping[str, Any]) -> Model:
    """An imported graph with open axes bound to whole numbers."""
    if not isinstance(model, OnnxModel):
        raise InputError(f"{AXIS}{next(iter(axes))}: {model.name} is a {model.family} without open axes; leave it out")
    for name, value in axes.items():
        if not str(value).strip().isdecimal() or len(str(value)) > 12:
            raise InputError(f"{AXIS}{name}={value}: expected a whole number of at least 0")
    return model.bind({name: int(value) for name, value in axes.items()})


def _factor_name(path: str) -> str:
    name = path.removeprefix(PREFIX)
    if name not in FACTORS:
        raise UnknownNameError("what-if path", path, [PREFIX + known for known in FACTORS], f"e.g. {PREFIX}width=1.2")
    return name


def _factor(path: str, value: Any) -> float:
    try:
        return float(value.strip().removeprefix("x") if isinstance(value, str) else value)
    except (TypeError, ValueError):
        raise InputError(f"{path}={value}: expected a factor such as 1.2 or x1.2") from None
