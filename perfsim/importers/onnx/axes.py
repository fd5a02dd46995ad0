"""Axes whose size the file leaves open: who binds them, and what is asked where nobody does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from perfsim.errors import ConfigError, UnknownNameError

__all__ = ["Binding", "Input", "Inputs", "inputs_of"]

IMAGE_RANK = 4
"""Axes of a batch of images."""

MOST_CHANNELS = 4
"""A last axis of at most this size means that channels come last."""

BATCH_NAMES = ("n", "b", "bs")
"""Names of the batch axis, beside those that contain the word batch."""


@dataclass(frozen=True)
class Input:
    """An input of the graph; dims: a size, or the name of an open axis (``input.axis`` where the file has none)."""

    name: str
    elem: int
    dims: tuple[int | str, ...]

    @property
    def image_axes(self) -> tuple[int, ...]:
        """Which axes are rows and columns, if it is a batch of images."""
        if len(self.dims) != IMAGE_RANK:
            return ()
        channels, last = self.dims[1], self.dims[3]
        channels_last = (
            isinstance(last, int)
            and last <= MOST_CHANNELS
            and not (isinstance(channels, int) and channels <= MOST_CHANNELS)
        )
        return (1, 2) if channels_last else (2, 3)


@dataclass(frozen=True)
class Inputs:
    """The inputs of a graph that are not stored in the file."""

    path: str
    inputs: tuple[Input, ...]

    def open_axes(self) -> tuple[str, ...]:
        """Names of all open axes, in order."""
        return tuple(dict.fromkeys(dim for i in self.inputs for dim in i.dims if isinstance(dim, str)))

    def batch_axis(self) -> str | None:
        """Name of the open axis that the batch binds: one named so, else an anonymous or an image's leading one."""
        for name in self.open_axes():
            if "batch" in name.lower() or name.lower() in BATCH_NAMES:
                return name
        for given in self.inputs:
            if given.dims and isinstance(given.dims[0], str):
                anonymous = given.dims[0] == f"{given.name}.0" or given.dims[0].startswith("unk__")
                if anonymous or len(given.dims) >= IMAGE_RANK:
                    return given.dims[0]
        return None

    def fixed_batch(self) -> int | None:
        """Size of the leading axis of images, where the file fixes it."""
        if self.batch_axis() is not None:
            return None
        leading = next((i.dims[0] for i in self.inputs if len(i.dims) >= IMAGE_RANK), None)
        return leading if isinstance(leading, int) else None

    def fixed_side(self) -> int | None:
        """Pixels per side of square images, where the file fixes them."""
        for given in self.inputs:
            sides = {given.dims[axis] for axis in given.image_axes}
            if len(sides) == 1 and isinstance(side := sides.pop(), int):
                return side
        return None

    def image_names(self) -> tuple[str, ...]:
        """Open axes that are rows or columns of images."""
        axes = (given.dims[axis] for given in self.inputs for axis in given.image_axes)
        batch = self.batch_axis()
        return tuple(dict.fromkeys(axis for axis in axes if isinstance(axis, str) and axis != batch))


@dataclass
class Binding:
    """Sizes of axes. stated: by the user; batch, image_size: of the job; known: name → size, of named axes."""

    inputs: Inputs
    stated: Mapping[str, int]
    batch: int
    image_size: int | None
    known: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known |= self.stated
        batch_axis, fixed = self.inputs.batch_axis(), self.inputs.fixed_batch()
        if batch_axis is not None:
            self.known.setdefault(batch_axis, self.batch)
        elif not self._restated_batch() and self.batch != (fixed or 1):
            what = f"fixes its batch at {fixed}" if fixed else "has no open batch axis"
            raise ConfigError(
                f"batch={self.batch}: {self.inputs.path} {what}; use batch={fixed or 1}, bind an axis, or export it "
                f"with a dynamic batch axis"
            )
        if self.image_size is not None:
            for name in self.inputs.image_names():
                self.known.setdefault(name, self.image_size)

    def _restated_batch(self) -> bool:
        return any(f"{given.name}.0" in self.stated for given in self.inputs.inputs)

    def shape(self, given: Input) -> tuple[int, ...]:
        """Sizes of an input.

        Raises
        ------
        ConfigError
            for an axis that nobody has bound.
        """
        return tuple(self._size(given, axis, dim) for axis, dim in enumerate(given.dims))

    def _size(self, given: Input, axis: int, dim: int | str) -> int:
        stated = self.stated.get(f"{given.name}.{axis}")
        if stated is not None:
            return stated
        if isinstance(dim, int):
            return dim
        if dim in self.known:
            return self.known[dim]
        if dim in self.inputs.image_names():
            raise ConfigError(
                f"{self.inputs.path}: the image size is open (axis {dim} of input {given.name}); state image_size "
                f"(--image-size 224), or bind it: --set model.axis.{dim}=224"
            )
        raise ConfigError(
            f"{self.inputs.path}: axis {dim} of input {given.name} is open; bind it with --set model.axis.{dim}=SIZE, "
            f'in Python model.bind({{"{dim}": SIZE}})'
        )

    def check_stated(self, switches: tuple[str, ...]) -> None:
        """Refuse stated names that are neither axes nor ``switches`` (nodes with sub-graphs).

        Raises
        ------
        UnknownNameError
            with what can be bound.
        """
        axes = [f"{given.name}.{axis}" for given in self.inputs.inputs for axis in range(len(given.dims))]
        known = [*self.inputs.open_axes(), *axes, *switches]
        for name in self.stated:
            if name not in known:
                raise UnknownNameError(f"axis of {self.inputs.path}", name, known)


def inputs_of(graph: Any, path: str) -> Inputs:
    """Inputs of a ``GraphProto`` that have no initialiser.

    Raises
    ------
    ConfigError
        for inputs that are no tensors, lack a shape, or have a negative size.
    """
    stored = {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    return Inputs(path, tuple(_input(info, path) for info in graph.input if info.name not in stored))


def _input(info: Any, path: str) -> Input:
    kind = info.type.WhichOneof("value")
    if kind != "tensor_type":
        what = (kind or "value of no type").removesuffix("_type")
        raise ConfigError(f"{path}: input {info.name} is a {what}, expected a tensor")
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        raise ConfigError(f"{path}: input {info.name} has no shape; export it with shapes, dynamic axes may have names")
    dims: list[int | str] = []
    for axis, dim in enumerate(tensor.shape.dim):
        if dim.HasField("dim_value") and dim.dim_value < 0:
            raise ConfigError(f"{path}: axis {axis} of input {info.name} has size {dim.dim_value}, expected at least 0")
        named = dim.dim_param or f"{info.name}.{axis}"
        dims.append(dim.dim_value if dim.HasField("dim_value") else named)
    return Input(info.name, tensor.elem_type, tuple(dims))
