"""Operators that read a tensor under another shape: a reshape moves no bytes, so it is no operator of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, make_dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from perfsim.graph import Shape, Tensor, Tensors, Work
from perfsim.graph.operator import Operator
from perfsim.quantities.dtypes import DType
from perfsim.quantities.numbers import Number

__all__ = ["viewed"]

_Base = Operator if TYPE_CHECKING else object


class _Seen(_Base):
    """Every method answers as if the inputs had the shapes in ``views``."""

    views: Mapping[str, Shape] = MappingProxyType({})

    def _seen(self, tensors: Tensors) -> Tensors:
        own = {name: tensors[name] for name in (*self.inputs, *self.outputs) if name in tensors}
        return own | {name: own[name].replace(shape=shape) for name, shape in self.views.items()}

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return super().output_shapes(self._seen(tensors))

    def work(self, tensors: Tensors) -> Work:
        return super().work(self._seen(tensors))

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        seen = self._seen(tensors)
        return super().accessed(seen.get(tensor.name, tensor), seen)

    def compute_dtype(self, tensors: Tensors) -> DType:
        return super().compute_dtype(self._seen(tensors))


@lru_cache(maxsize=256)
def viewed(kind: type[Operator]) -> type[Operator]:
    """``kind`` with a field ``views``: input name → shape under which it is read, of as many elements.

    The result is a subclass of ``kind``, so rewrites that look for ``kind`` find it.
    """
    fields: list[tuple[str, Any, Any]] = [("views", Mapping[str, Shape], field(default_factory=dict))]
    made = make_dataclass(f"Viewed{kind.__name__}", fields, bases=(_Seen, kind), frozen=True, eq=False)
    made.__doc__ = kind.__doc__
    return made
