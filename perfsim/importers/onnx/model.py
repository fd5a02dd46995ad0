"""A network that an ONNX file describes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from perfsim.architectures import ImageStep
from perfsim.architectures.forward import ForwardModel
from perfsim.architectures.vision.counts import Counts, counts_of
from perfsim.errors import InputError
from perfsim.graph import OperatorGraph
from perfsim.importers.onnx.axes import Inputs, inputs_of
from perfsim.importers.onnx.load import load
from perfsim.importers.onnx.values import FLOATS, INT32, LOW
from perfsim.quantities.dtypes import DTYPES
from perfsim.quantities.numbers import is_array, is_symbolic

__all__ = ["OnnxModel", "forget", "read_onnx"]

_OWN_FORMATS = {1: "fp32", 10: "fp16", 16: "bf16"}
"""TensorProto.DataType of the features → number format of the file."""


@dataclass(frozen=True, eq=False, kw_only=True)
class OnnxModel(ForwardModel):
    """An inference graph of any kind, read without its weights.

    path: of the file; inputs: their shapes; proto: the file's message without weights; axes: sizes of open axes, trip
    counts of loops (by node) and branches (1 or 0, by node) that the user has bound.
    """

    name: str
    path: str
    inputs: Inputs
    proto: Any = field(repr=False)
    axes: tuple[tuple[str, int], ...] = ()
    dtype: str | None = None
    context_limit: int | None = None
    remarks: tuple[str, ...] = ()

    family = "network of an ONNX file"
    conventions = (
        "work follows the file's operators: views cost nothing, constants are folded, a batch norm behind a "
        "convolution is folded into it",
        "quantised features and weights are read and multiplied in their stored format; fp32 of the file becomes the "
        "job's number format",
        "macs are products of convolutions, matrices and recurrences, and norms as in timm's tables",
    )
    outside = ("what the graph leaves to its caller",)

    @property
    def image_size(self) -> int | None:
        """Pixels per side that the file fixes, None where it fixes none."""
        return self.inputs.fixed_side()

    @property
    def fixed_size(self) -> bool:  # type: ignore[override]
        """Whether the file fixes the pixels per side."""
        return self.image_size is not None and not self._restated()

    def _restated(self) -> bool:
        names = {f"{given.name}.{axis}" for given in self.inputs.inputs for axis in given.image_axes}
        return any(name in names for name, _ in self.axes)

    def bind(self, axes: Mapping[str, int] | None = None, **named: int) -> OnnxModel:
        """The model with open axes bound, e.g. ``bind(sequence=128)`` or ``bind({"input.2": 256})``.

        An axis without a name, and one that the file fixes, is ``input.number``. A Loop takes its number of passes
        and an If its branch (1 is then, 0 is else) under the node's name.

        Raises
        ------
        InputError
            for a size that is no whole number of at least 0.
        """
        wanted = {**dict(self.axes), **(axes or {}), **named}
        for name, size in wanted.items():
            if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= 10**9:
                raise InputError(f"axis {name}={size!r} of {self.path}: expected a whole number, 0 to 1e9")
        return replace(self, axes=tuple(sorted(wanted.items())))

    def graph(self, step: ImageStep) -> OperatorGraph:
        """The graph of one pass.

        Raises
        ------
        InputError
            for an axis that nobody bound; ConfigError for a node that cannot be followed.
        """
        if any(is_symbolic(n) or is_array(n) for n in (step.batch, step.image_size)):
            raise TypeError("the shapes of an ONNX graph are numbers")
        return _graph(self, step.batch, step.image_size, step.dtype.name, step.weight_dtype.name, step.fold)

    def counts(self, image_size: int | None = None) -> Counts:
        """Counts of one sample, with batch norms as the file has them."""
        batch = self.inputs.fixed_batch() or 1
        size = self.image_size if image_size is None else image_size
        counts = counts_of(_graph(self, batch, size, "fp32", "fp32", False))
        return replace(
            counts,
            products=counts.products // batch,
            macs=counts.macs // batch,
            activations=counts.activations // batch,
        )

    @property
    def unbound(self) -> tuple[str, ...]:
        """Open axes that neither the batch nor :meth:`bind` gives a size."""
        known = {name for name, _ in self.axes} | {self.inputs.batch_axis()}
        return tuple(name for name in self.inputs.open_axes() if name not in known)

    @property
    def parameters(self) -> int:
        """Stored weights that the graph uses [1]; all that the file holds, while axes are open."""
        if not self.unbound:
            return self.counts().parameters
        kinds = FLOATS | LOW - {INT32}
        return sum(n for t in self.proto.graph.initializer if t.data_type in kinds and (n := math.prod(t.dims)) > 1)

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates of one sample [1], None while axes are open."""
        return None if self.unbound else self.counts().macs

    def shape(self) -> dict[str, Any]:
        """Inputs with the names of their open axes."""
        return {given.name: " × ".join(map(str, given.dims)) or "one number" for given in self.inputs.inputs}


@lru_cache(maxsize=16)
def _graph(
    model: OnnxModel, batch: int, image_size: int | None, dtype: str, weight_dtype: str, fold: bool
) -> OperatorGraph:
    from perfsim.importers.onnx.read import operator_graph

    step = ImageStep(batch, image_size, DTYPES[dtype], DTYPES[weight_dtype], fold=fold)
    return operator_graph(model.proto, model.path, step, dict(model.axes))


def read_onnx(path: Path) -> OnnxModel:
    """The network of an ONNX file; its weights, inside the file or beside it, are not read.

    Raises
    ------
    ConfigError
        if the package onnx is missing, or the file is no ONNX model.
    """
    status = path.stat()
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _read(path: Path, _modified: int, _size: int) -> OnnxModel:
    proto = load(path)
    inputs = inputs_of(proto.graph, str(path))
    stored = [t.data_type for t in proto.graph.initializer if t.data_type in _OWN_FORMATS]
    types = stored or [given.elem for given in inputs.inputs]
    dtype = _OWN_FORMATS.get(max(types, key=types.count)) if types else None
    return OnnxModel(name=path.stem, path=str(path), inputs=inputs, proto=proto, dtype=dtype)


def forget() -> None:
    """Drop the files and graphs that are kept for the next prediction."""
    _read.cache_clear()
    _graph.cache_clear()
