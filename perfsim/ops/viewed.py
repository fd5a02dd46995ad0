"""Operators that read a tensor under another shape: a reshape moves no bytes, so it is no operator of its own."""

from __future__ import annotations

from dataclasses import field, make_dataclass
from functools import lru_cache
from typing import Any

from perfsim.graph import Shape, Tensor, Tensors, Work
from perfsim.graph.operator import Operator
from perfsim.quantities.dtypes import DType
from perfsim.quantities.numbers import Number

__all__ = ["viewed"]


class _Seen(Operator):
    """Stands in front of a kind of operator: every method answers as if the inputs had the shapes in ``views``."""

    views: tuple[Shape | None, ...] = ()

    def _seen(self, tensors: Tensors) -> Tensors:
        own = {name: tensors[name] for name in (*self.inputs, *self.outputs) if name in tensors}
        shapes = {name: shape for name, shape in zip(self.inputs, self.views, strict=False) if shape is not None}
        return own | {name: own[name].replace(shape=shape) for name, shape in shapes.items()}

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return super().output_shapes(self._seen(tensors))  # type: ignore[safe-super]

    def work(self, tensors: Tensors) -> Work:
        return super().work(self._seen(tensors))  # type: ignore[safe-super]

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        seen = self._seen(tensors)
        return super().accessed(seen.get(tensor.name, tensor), seen)

    def compute_dtype(self, tensors: Tensors) -> DType:
        return super().compute_dtype(self._seen(tensors))


@lru_cache(maxsize=256)
def viewed(kind: type[Operator]) -> type[Operator]:
    """``kind`` with a field ``views``: per input the shape under which it is read, None for its own.

    The result is a subclass of ``kind``, so rewrites that look for ``kind`` find it.
    """
    fields: list[tuple[str, Any, Any]] = [("views", tuple[Shape | None, ...], field(default=()))]
    made = make_dataclass(f"Viewed{kind.__name__}", fields, bases=(_Seen, kind), frozen=True, eq=False)
    made.__doc__ = kind.__doc__
    return made
