"""What is known of a value while a graph is read: element type, shape, maybe its numbers, and where its bytes lie."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from perfsim.quantities.dtypes import DTYPES, DType

__all__ = ["FLOATS", "LOW", "Value", "element_dtype"]

_NAMES = {
    1: "fp32", 2: "int8", 3: "int8", 4: "int16", 5: "int16", 6: "int32", 7: "int64", 8: "int8", 9: "int8", 10: "fp16",
    11: "fp64", 12: "int32", 13: "int64", 14: "fp32", 15: "fp64", 16: "bf16", 17: "fp8_e4m3", 18: "fp8_e4m3",
    19: "fp8_e5m2", 20: "fp8_e5m2", 21: "int4", 22: "int4", 23: "fp4", 24: "int8", 25: "int2", 26: "int2",
}  # fmt: skip
"""TensorProto.DataType → number format; texts (8) and truth values (9) count a byte each."""

FLOATS = frozenset({1, 10, 11, 14, 15, 16})
"""Types of features: they take the number format of the job."""

LOW = frozenset({2, 3, 4, 5, 6, 17, 18, 19, 20, 21, 22, 23, 25, 26})
"""Types that quantised features and weights are stored in."""

UINT8, INT8, INT32, INT64, BOOL = 2, 3, 6, 7, 9


def element_dtype(elem: int, features: DType) -> DType:
    """Number format in which elements of an ONNX type are stored; ``features``: the job's."""
    return features if elem in FLOATS else DTYPES[_NAMES.get(elem, "int8")]


@dataclass(slots=True, eq=False)
class Value:
    """A tensor of the ONNX graph.

    name: in its scope; elem: TensorProto.DataType; shape; root: name of the tensor of the operator graph that holds
    its bytes, "" until an operator needs it; const: whether it is known before the graph runs; load: gives its
    numbers, or None; low: the stored value of few bits of which this one is the dequantised form;
    origin: the initialiser that it is another arrangement of.
    """

    name: str
    elem: int
    shape: tuple[int, ...]
    root: str = ""
    const: bool = False
    load: Callable[[], Any] | None = None
    low: Value | None = None
    origin: str = ""

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def array(self) -> Any:
        """Its numbers as an array, None where they are not known."""
        if self.load is None:
            return None
        array = self.load()
        self.load = lambda: array
        return array

    def seen_as(self, name: str, elem: int, shape: tuple[int, ...]) -> Value:
        """The same bytes under another name, type and shape."""
        low = None if self.low is None else replace(self.low, shape=shape)
        return replace(self, name=name, elem=elem, shape=shape, low=low, load=None)
